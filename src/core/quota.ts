/** What a tenant, an address, or all together may have. `null`: as much as they want. */
export interface Quotas {
  /** Tasks that wait, of all tenants. */
  readonly queue: number | null;
  /** Of a tenant: requests in a minute. */
  readonly requests: number | null;
  /** Of a tenant: tasks that wait. */
  readonly waiting: number | null;
  /** Of a tenant: runs that are under way. */
  readonly running: number | null;
  /** Of a tenant: bytes of its results in the store. */
  readonly storedBytes: number | null;
  /** Of a tenant: bytes of the files that it sent and that are still kept. */
  readonly uploadBytes: number | null;
  /** Of a tenant: seconds on GPUs in a day, UTC. */
  readonly gpuSeconds: number | null;
  /** Of an address: wrong keys in a minute. */
  readonly wrongKeys: number | null;
}

export const noQuotas: Quotas = {
  ...{ queue: null, requests: null, waiting: null, running: null },
  ...{ storedBytes: null, uploadBytes: null, gpuSeconds: null, wrongKeys: null },
};

/** What is left of a quota, as headers tell it. */
export interface QuotaState {
  /** `waiting`. */
  readonly name: string;
  /** The whole of it. */
  readonly most: number;
  /** What it counts, where that is not requests. */
  readonly unit?: string;
  /** In how many seconds so much may be had; none for what is had at one time. */
  readonly windowS?: number;
  readonly left: number;
  /** In so many seconds there is more, as far as is known. */
  readonly resetS: number;
}

/**
 * The headers that tell of it, by the names of draft-ietf-httpapi-ratelimit-headers. Several quotas make a list of
 * each.
 */
export function quotaHeaders({ name, most, unit, windowS, left, resetS }: QuotaState) {
  const units = unit === undefined ? '' : `;qu="${unit}"`;
  const window = windowS === undefined ? '' : `;w=${windowS}`;
  return {
    'RateLimit-Policy': `"${name}";q=${most}${units}${window}`,
    RateLimit: `"${name}";r=${left};t=${resetS}`,
  };
}

/** What a tenant has of what is limited. */
export interface Standing {
  /** Tasks that wait; counted no further than the quota. */
  readonly waiting: number;
  readonly storedBytes: number;
  readonly uploadBytes: number;
  /** Today, UTC. */
  readonly gpuMs: number;
}

/** A quota that is used up, and what its client is told. */
export interface UsedUp {
  readonly state: QuotaState;
  readonly message: string;
  /** Where another try may succeed before `state.resetS`. */
  readonly retryAfterS?: number;
}

/** Nobody can tell when a task is begun or a file goes: a client that asks again so often does no harm, seconds. */
const askAgainS = { soon: 5, later: 60 };

/** Why a tenant that has so much may submit no task; `null` where it may. `now`: milliseconds. */
export function taskRefusal(standing: Standing, quotas: Quotas, now: number): UsedUp | null {
  const { waiting, gpuSeconds, storedBytes } = quotas;
  if (gpuSeconds !== null && standing.gpuMs >= gpuSeconds * 1_000) {
    const window = { unit: 'gpu-seconds', windowS: daySeconds };
    return {
      state: { name: 'gpu-seconds', most: gpuSeconds, ...window, ...none(untilMidnightS(now)) },
      message: `The tenant has had its ${gpuSeconds} seconds of GPU time for today; there is more at midnight, UTC`,
    };
  }
  if (storedBytes !== null && standing.storedBytes >= storedBytes) {
    return {
      state: {
        ...{ name: 'stored-bytes', most: storedBytes, unit: 'content-bytes' },
        ...none(askAgainS.later),
      },
      message: `The results of the tenant take the ${storedBytes} bytes that they may; there is room when some are removed`,
    };
  }
  if (waiting !== null && standing.waiting >= waiting) return waitingFull(waiting);
  return null;
}

export function waitingFull(most: number): UsedUp {
  return {
    state: { name: 'waiting', most, unit: 'tasks', ...none(askAgainS.soon) },
    message: `The tenant has the ${most} waiting tasks that it may; there is room when one is begun or canceled`,
  };
}

/** Why a tenant that has so much may send no file; `null` where it may. */
export function fileRefusal(standing: Standing, { uploadBytes }: Quotas): UsedUp | null {
  if (uploadBytes === null || standing.uploadBytes < uploadBytes) return null;
  const unit = 'content-bytes';
  return {
    state: { name: 'upload-bytes', most: uploadBytes, unit, ...none(askAgainS.soon) },
    message: `The files of the tenant take the ${uploadBytes} bytes that they may; there is room when their tasks have ended`,
  };
}

function none(resetS: number): Pick<QuotaState, 'left' | 'resetS'> {
  return { left: 0, resetS };
}

const daySeconds = 24 * 3_600;

function untilMidnightS(now: number): number {
  return daySeconds - Math.floor((now / 1_000) % daySeconds);
}
