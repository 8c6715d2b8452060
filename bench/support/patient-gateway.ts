import { realTempo, type Tempo } from '../../src/core/tempo.ts';
import { run } from '../../src/run.ts';
import { serve } from '../../src/serve.ts';

/**
 * The service as `src/main.ts` starts it. It does what it does as often, but gives up on nothing because the machine is
 * shared with a thousand emulators.
 */
const patienceMs = 180_000;

const tempo: Tempo = {
  ...realTempo,
  lease: { ...realTempo.lease, holdsMs: patienceMs },
  database: {
    ...realTempo.database,
    connectDeadlineMs: patienceMs,
    statementDeadlineMs: patienceMs / 2,
    queryDeadlineMs: patienceMs,
  },
  recovery: { ...realTempo.recovery, abandonedAfterMs: 2 * patienceMs },
  socket: { ...realTempo.socket, handshakeDeadlineMs: patienceMs },
  comfyui: {
    ...realTempo.comfyui,
    connectDeadlineMs: patienceMs,
    answerDeadlineMs: patienceMs,
    longAnswerDeadlineMs: patienceMs,
  },
};

await run((logTo) => serve({ logTo, tempo }));
