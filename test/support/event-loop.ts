const everyMs = 5;

/**
 * Tells how long the event loop was kept from everything else while something was done, at most: the time
 * on a processor that this thread took between two ticks, milliseconds. A busy machine, on which the thread
 * waits for a processor, makes no difference.
 */
export async function whileWatchingTheLoop<T>(
  work: () => Promise<T>,
  onTick: () => void = () => {},
): Promise<{ readonly result: T; readonly heldMs: number }> {
  let heldMs = 0;
  let before = process.threadCpuUsage();
  const look = () => {
    const { user, system } = process.threadCpuUsage(before);
    heldMs = Math.max(heldMs, (user + system) / 1_000);
    before = process.threadCpuUsage();
    onTick();
  };
  const ticks = setInterval(look, everyMs);
  try {
    const result = await work();
    look();
    return { result, heldMs };
  } finally {
    clearInterval(ticks);
  }
}
