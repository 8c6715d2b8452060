const kept = ['PATH', 'NODE_COMPILE_CACHE', 'TEST_REAL'] as const;

/** The environment of a process that a test starts: none of a developer's settings. */
export const bareEnv: Readonly<Record<string, string>> = Object.fromEntries(
  kept.flatMap((name) => {
    const value = process.env[name];
    return value === undefined ? [] : [[name, value]];
  }),
);
