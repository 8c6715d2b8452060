/**
 * In which manner this server reads files: as ComfyUI 0.3.64 does, or as 0.33 does. Each manner has
 * what is wrong there, too; `npm run pack -- --url` shows it on a real server.
 */
export const loaders = ['0.3.64', '0.33'] as const;
export type Loaders = (typeof loaders)[number];

export const newestLoaders: Loaders = '0.33';

export function isLoaders(value: string): value is Loaders {
  return loaders.some((each) => each === value);
}

/** What `/system_stats` tells. */
export const comfyVersions: Readonly<Record<Loaders, string>> = {
  '0.3.64': '0.3.64+tmlsr-emulator',
  '0.33': '0.33.0+tmlsr-emulator',
};
