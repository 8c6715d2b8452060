/**
 * How long a test waits for what is sure to come, milliseconds. It is long, because on a busy machine a
 * process may take a minute to start; a test that passes does not wait for it.
 */
export const patienceMs = 180_000;

/** How many tests of a file may have gateways at once: a processor that starts twenty is late for all of them. */
export const scenesAtOnce = 4;
