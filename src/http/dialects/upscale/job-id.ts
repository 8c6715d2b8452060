import { randomBytes } from 'node:crypto';

/**
 * Clients of this service keep ids as decimal numbers: 19 digits that fit a signed 64-bit integer. Tasks
 * are known by UUIDs. An id is one written in the digits of a UUID of version 8 (RFC 9562 §5.8), so that
 * each follows from the other and nothing has to be kept beside it.
 *
 * Nearly 63 random bits: of a billion jobs, the next one meets an id that is taken once in eight billion.
 */
const least = 10n ** 18n;
const most = 2n ** 63n - 1n;

/** A UUID for a new task, whose job id is drawn at random. */
export function newTaskId(): string {
  for (;;) {
    const drawn = randomBytes(8).readBigUInt64BE() & most;
    if (drawn >= least) return uuidOf(drawn);
  }
}

/** The job id in the UUID of a task of this dialect. */
export function jobIdOf(uuid: string): string {
  const digits = layout.exec(uuid)?.slice(1).join('');
  if (!digits) throw new Error(`${uuid} is no id of this dialect`);
  return BigInt(`0x${digits}`).toString();
}

/** The UUID of the task that clients know by this text; `null` for what can be no job id. */
export function taskIdOf(text: string): string | null {
  if (!/^[1-9]\d{18}$/.test(text)) return null;
  const number = BigInt(text);
  return number <= most ? uuidOf(number) : null;
}

/** The 16 digits of the number lie around those of the version and the variant. */
const layout = /^([0-7][0-9a-f]{7})-([0-9a-f]{4})-8([0-9a-f]{3})-8([0-9a-f])00-0{12}$/;

function uuidOf(number: bigint): string {
  const digits = number.toString(16).padStart(16, '0');
  return digits.replace(/^(.{8})(.{4})(.{3})(.)$/, '$1-$2-8$3-8$400-000000000000');
}
