import type { Alarm } from './alarm.ts';
import { pause } from './pause.ts';

export interface EveryOptions {
  /** Hears what a round throws, and the rounds go on; without it they end with that. */
  readonly onError?: (error: unknown) => void;
  /** Ends a pause before its time. */
  readonly alarm?: Alarm;
  /** How much a pause may differ, as a share of the period: several gateways come at different times. */
  readonly jitter?: number;
  /** Whether the first round is a period from now, because whoever starts it has just done one. */
  readonly isLater?: boolean;
}

/** Does a round, pauses for the period, and so on until the signal aborts. Rounds never overlap. */
export async function every(
  periodMs: number,
  signal: AbortSignal,
  round: (signal: AbortSignal) => Promise<void> | void,
  { onError, alarm, jitter = 0, isLater = false }: EveryOptions = {},
): Promise<void> {
  const rest = () => {
    const ms = periodMs * (1 + jitter * (2 * Math.random() - 1));
    return alarm ? alarm.wait(ms, signal) : pause(ms, signal);
  };
  if (isLater) await rest();
  while (!signal.aborted) {
    try {
      await round(signal);
    } catch (error) {
      if (!onError) throw error;
      onError(error);
    }
    await rest();
  }
}
