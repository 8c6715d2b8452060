/**
 * Every wait of the gateway, by the part that waits. All values are milliseconds.
 *
 * A name that ends in `DeadlineMs` bounds the work of others: of a server, a disk, a processor. All
 * others are the gateway's own choice: leases, periods, pauses, patiences.
 */
export const realTempo = {
  /** Claims of tasks and leases of backends. */
  lease: {
    /** A claim or lease that nobody renews ends after this time, by the database's clock. */
    holdsMs: 12_000,
    /** Three renewals may fail before a lease ends. */
    renewEveryMs: 3_000,
  },
  database: {
    /** For a new connection to take queries. `connect_timeout` in the URL goes before it. */
    connectDeadlineMs: 5_000,
    /** Between two tries to connect, at least; at most twice as long. */
    reconnectPauseMs: 250,
    /** For a statement on the server, which cancels it then and says so. */
    statementDeadlineMs: 4_500,
    /** For the answer to a query; then its connection is dropped. */
    queryDeadlineMs: 5_000,
    /** For a transaction without a statement; then the server ends its session. */
    idleTransactionDeadlineMs: 3_000,
    /** For a statement over a whole table, such as one of a migration. */
    patientDeadlineMs: 600_000,
    /** The lock for migrations is waited for this long while another session has it. */
    migrationLockPatienceMs: 300_000,
    migrationLookEveryMs: 250,
    /** It is looked this often whether a newer gateway has changed the schema. */
    editionCheckEveryMs: 3_000,
    /** The connection that listens is checked this often. */
    listenCheckEveryMs: 10_000,
    /** TCP probes a connection that is silent for this time. */
    keepAliveAfterMs: 10_000,
    /** Notices to other gateways within this time are sent together. */
    noticesTogetherMs: 20,
    /** For a notice to come back through a pooler. */
    noticeDeadlineMs: 3_000,
    /** For queries under way when the gateway stops. */
    closeDeadlineMs: 5_000,
  },
  events: {
    /** The table is looked at this often, because a notice may get lost. */
    lookEveryMs: 1_500,
    /** Old ones are removed this often. */
    sweepEveryMs: 60_000,
  },
  start: {
    /** Whoever starts it on a terminal is told where to look when a server is there, or after so long. */
    lookEveryMs: 100,
    settledAfterMs: 5_000,
  },
  keys: {
    /** The table is looked at this often, because a notice may get lost. */
    lookEveryMs: 500,
    /** What was read holds for this time; a request that comes later waits until it is read again. */
    holdMs: 1_000,
    /** Uses within this time are written together. */
    usesTogetherMs: 10_000,
  },
  membership: {
    /** Changes of backends within this time are reported together. */
    reportAfterMs: 1_000,
    /** Figures that change by themselves, such as the busy share, are reported this often. */
    reportEveryMs: 5_000,
    /** A backend that is in nobody's settings any more is forgotten after this time. */
    forgottenAfterMs: 60_000,
  },
  discovery: {
    lookEveryMs: 10_000,
    /** A name that has no addresses for this time has no servers any more. */
    emptyAfterMs: 60_000,
    answerDeadlineMs: 5_000,
  },
  dispatcher: {
    /** The queue is looked at this often, because a notice may get lost. */
    backstopMs: 1_000,
  },
  recovery: {
    sweepEveryMs: 2_000,
    /** A backend that nobody reaches for this time takes its prompts with it. */
    abandonedAfterMs: 60_000,
    /** The gateway that ended a task has this time to remove its prompt. */
    leftoverAfterMs: 90_000,
  },
  /** The pause before a failed task is tried again. */
  retry: {
    firstPauseMs: 1_000,
    longestPauseMs: 30_000,
  },
  waitingRoom: {
    /** A source has this long to come; then the seat that its task was claimed for is open to others. */
    arrivalDeadlineMs: 1_000,
    /** A backend that is away for less than this keeps its waiting task. */
    awayMs: 3_000,
    /** An idle backend waits this long for its own next task before it loads other models. */
    beforeSwitchMs: 1_000,
    /** A decision to wait for a faster backend holds this long. */
    reconsiderMs: 250,
  },
  attempt: {
    /** A prompt that cannot be withdrawn for this time is left to the sweep. */
    withdrawPatienceMs: 60_000,
    /** Objects that a failed attempt stored are removed within this time. */
    removeDeadlineMs: 30_000,
    freeMemoryDeadlineMs: 10_000,
    /** Between two requests to withdraw a prompt. */
    firstWithdrawPauseMs: 50,
    longestWithdrawPauseMs: 2_000,
  },
  journal: {
    /** News within this time are written together. */
    togetherMs: 20,
    /** Progress is written this often, because people read it. */
    progressEveryMs: 500,
  },
  prompt: {
    /** HTTP is asked this often, because the WebSocket may be deaf. */
    pollMs: 2_000,
    /** A server that does not answer for this time is lost, and the prompt with it. */
    lostAfterMs: 30_000,
    /** A server that refuses connections for this time does not run. */
    refusedAfterMs: 3_000,
    /** Two reads this far apart that lack a prompt tell that it is gone. */
    absentMs: 1_000,
    /** A server that runs none of its pending prompts for this time has lost its prompt thread. */
    wedgedAfterMs: 5_000,
    /** A prompt may be silent for this time, because a model may have to be loaded first. */
    stallAtLeastMs: 60_000,
    /** A last node that takes less than this does not keep the GPU from the next prompt. */
    shortEndingMs: 200,
  },
  /** Results on their way into the store. */
  transfer: {
    /** A store that fails is tried again for this time. */
    storePatienceMs: 10 * 60_000,
    /** A full store is waited for this long, because somebody may make room. */
    fullPatienceMs: 24 * 3_600_000,
    /** A backend that fails is asked again for this time. */
    backendPatienceMs: 60_000,
    firstPauseMs: 1_000,
    longestPauseMs: 60_000,
    /** A transfer that lasts longer keeps no other one from beginning. */
    lastsAfterMs: 5_000,
    /** A result waits this long for its thumbnail. */
    thumbnailDeadlineMs: 3_000,
    abandonDeadlineMs: 10_000,
  },
  spool: {
    /** The free space of the disk is looked at this often. */
    lookAgainMs: 1_000,
    /** A task waits this long for room; then it goes back into the queue. */
    patienceMs: 10 * 60_000,
    firstPauseMs: 1_000,
    longestPauseMs: 30_000,
    /** A client that sends a file waits this long for room. */
    clientPatienceMs: 5_000,
  },
  /** What was read of clients' links, until its runs have ended. */
  sources: {
    /** It is looked this often for runs that have ended elsewhere. */
    sweepEveryMs: 30_000,
    /** What another gateway has is waited for this long; then the link is read again. */
    otherPatienceMs: 5 * 60_000,
    /** A gateway that has told nobody what it has answers within this time. */
    answerPatienceMs: 1_500,
    /** The table is looked at this often meanwhile, because a notice may get lost. */
    lookEveryMs: 1_000,
    removeDeadlineMs: 30_000,
    /** Links of a task that has waited for this time are read ahead: one that is begun at once has no use of it. */
    aheadAfterMs: 1_000,
    /** The queue is looked at this often, because a notice may get lost. */
    aheadEveryMs: 5_000,
    /** Between two readings of a link that does not answer. */
    firstPauseMs: 1_000,
    longestPauseMs: 5 * 60_000,
  },
  source: {
    connectDeadlineMs: 5_000,
    headersDeadlineMs: 10_000,
    /** Between two pieces of a body. */
    idleDeadlineMs: 30_000,
    /** For the whole source. */
    totalDeadlineMs: 3_600_000,
    /** The speed of a source is judged over this time. */
    floorDeadlineMs: 30_000,
    /** Before a busy server is asked again that does not say when: this, and twice as long each time. */
    busyPauseMs: 1_000,
    /** One that wants more than this is left alone. */
    longestBusyPauseMs: 15_000,
    /** For its first bytes, while its client waits for the task's id. */
    peekDeadlineMs: 2_000,
  },
  media: {
    /** For reading every pixel of a picture. */
    imageDeadlineMs: 60_000,
    /** Of a processor's time, for reading a clip's header: on a busy machine that may take long. */
    videoWorkDeadlineMs: 5_000,
    /** The same in all, with the time that it waits for a processor or for bytes. */
    videoDeadlineMs: 60_000,
    /** The processor's time is looked at this often. */
    videoLookMs: 200,
    /** After which a thread for clips ends that nobody has had a use for. */
    idleThreadMs: 10_000,
    /** For encoding a thumbnail, in libvips. */
    thumbnailDeadlineMs: 3_000,
    /** For encoding a preview, in libvips. */
    previewDeadlineMs: 20_000,
    /** For a preview with its wait for a free thread. */
    previewTotalDeadlineMs: 60_000,
  },
  backend: {
    catalogueEveryMs: 120_000,
    describeEveryMs: 10_000,
    /** Between two tries to learn what a server is. */
    firstIdentifyPauseMs: 1_000,
    longestIdentifyPauseMs: 2 * 60_000,
    /** Whether a prompt that could not be withdrawn is gone is looked at this often. */
    lookForLeftMs: 2_000,
    /** A server that has not let go of such a prompt for this time is not trusted. */
    heldAfterMs: 10 * 60_000,
    /** The WebSocket may be this much later than HTTP, and longer where the server answers slowly. */
    messageLagMs: 250,
    /** A WebSocket that is silent is judged by an HTTP answer within this time, or longer as before. */
    probeMs: 2_000,
  },
  breaker: {
    /** A backend that is set aside rests this long; each further time twice as long. */
    firstRestMs: 5_000,
    longestRestMs: 5 * 60_000,
  },
  socket: {
    /** A server that leaves a ping unanswered until the next one is gone. */
    pingEveryMs: 10_000,
    handshakeDeadlineMs: 5_000,
    /** A connection that ends before this time counts as one that failed. */
    steadyAfterMs: 10_000,
    /** What a server says is counted over this time. */
    floodWindowMs: 100,
    firstPauseMs: 250,
    longestPauseMs: 10_000,
  },
  comfyui: {
    connectDeadlineMs: 5_000,
    /** ComfyUI answers from one event loop that a large upload or a busy node can hold up. */
    answerDeadlineMs: 15_000,
    /** Between two pieces of a file. */
    idleDeadlineMs: 60_000,
    /** How fast it sends a file, or takes one, is judged over this time. */
    floorDeadlineMs: 30_000,
    /** A server with many custom nodes takes long to list their classes. */
    catalogueDeadlineMs: 60_000,
    /** Who takes this long for an answer of megabytes gives way when another server has such a one. */
    longAnswerDeadlineMs: 5_000,
    /**
     * The gateway closes idle connections, because a prompt is lost that is posted while the server
     * closes one: after 75 s (an hour since aiohttp 3.11), and nginx after 75 s, too.
     */
    keepAliveDeadlineMs: 60_000,
  },
  inputs: {
    /** A shared folder that does not answer within this time is not used. */
    checkDeadlineMs: 15_000,
    removeDeadlineMs: 10_000,
    /** A copy may take this long, and longer by its size. */
    copyDeadlineMs: 60_000,
    /** Files of attempts that are older than this were left by a crash. */
    abandonedAfterMs: 24 * 3_600_000,
  },
  tasks: {
    /** Counts of tasks are read at most this often. */
    countsHoldMs: 500,
    /** Learned durations are read at most this often. */
    durationsHoldMs: 5_000,
  },
  results: {
    sweepEveryMs: 60_000,
    /** To look at every object takes long, and only crashes leave something to find. */
    orphansEveryMs: 12 * 3_600_000,
    /** An object younger than this may belong to a task that is being completed. */
    youngMs: 3_600_000,
    /** No transaction that ends a task takes longer than this. */
    commitMs: 60_000,
    deleteDeadlineMs: 30_000,
  },
  uploads: {
    sweepEveryMs: 3 * 60_000,
    /** A client may send the bytes for this time. */
    openForMs: 3_600_000,
    /** An upload that no task uses goes after this time. */
    unusedForMs: 24 * 3_600_000,
    lookUpDeadlineMs: 10_000,
    cleanUpDeadlineMs: 30_000,
  },
  store: {
    connectDeadlineMs: 10_000,
    /** For a request, and longer by the size of its body. */
    requestDeadlineMs: 60_000,
    /** Between two pieces of a streamed answer. */
    idleDeadlineMs: 60_000,
    /** How fast it takes an object is judged over this time. */
    floorDeadlineMs: 30_000,
    cleanUpDeadlineMs: 15_000,
    firstPauseMs: 250,
    longestPauseMs: 8_000,
    /** A temporary file that nobody has written to for this time was left by a crash. */
    abandonedAfterMs: 3_600_000,
  },
  /** Addresses that clients give for their results. */
  target: {
    connectDeadlineMs: 10_000,
    idleDeadlineMs: 60_000,
    /** How fast it takes a result is judged over this time. */
    floorDeadlineMs: 30_000,
    /** For a transfer, and longer by its size. */
    requestDeadlineMs: 60_000,
  },
  workflows: {
    /** The folder is read this often, because network file systems tell of no changes. */
    lookEveryMs: 5_000,
    /** A file is read when it has not changed for this time: an editor may still write it. */
    settledAfterMs: 150,
  },
  http: {
    headersDeadlineMs: 30_000,
    /** For a request that brings a file. */
    requestDeadlineMs: 6 * 3_600_000,
    /** For the body of any other request. */
    bodyDeadlineMs: 300_000,
    /** The speed of a file that comes in is judged over this time. */
    paceDeadlineMs: 30_000,
    /** Longer than proxies keep theirs (60 s is usual): who uses a connection that we close at that moment gets a 502. */
    keepAliveDeadlineMs: 75_000,
    /** A gateway that stops gives the answers under way this time. */
    closeDeadlineMs: 5_000,
    /** WebSockets are asked this often whether their key is good still. */
    keyLookEveryMs: 500,
    /** What `/ready` says of the object store may be so old, and waits so long for it. */
    storeCheckHoldsMs: 10_000,
    storeCheckDeadlineMs: 2_000,
    /** A download without a byte for this time is not under way any more. */
    handoverQuietMs: 5_000,
  },
} as const satisfies Readonly<Record<string, Slice>>;

type Slice = Readonly<Record<string, number>>;
type Lengths<T extends Slice> = { readonly [Name in keyof T]: number };

/** The waits of all parts; each part takes its slice. */
export type Tempo = {
  readonly [Part in keyof typeof realTempo]: Lengths<(typeof realTempo)[Part]>;
};

/**
 * The same tempo, `factor` times as fast. Deadlines stay, because others do not get any faster.
 *
 * @throws Error as `checkTempo`.
 */
export function quickened(tempo: Tempo, factor: number): Tempo {
  const quicker = Object.entries(tempo).map(([part, slice]) => [
    part,
    Object.fromEntries(
      Object.entries(slice).map(([name, ms]) => [name, quickenedWait(name, ms, factor)]),
    ),
  ]);
  const whole = Object.fromEntries(quicker) as Tempo;
  checkTempo(whole);
  return whole;
}

function quickenedWait(name: string, ms: number, factor: number): number {
  return name.endsWith('DeadlineMs') ? ms : Math.ceil(ms / factor);
}

/**
 * Asserts the relations between waits of different parts.
 *
 * @throws Error that names the relation.
 */
export function checkTempo(tempo: Tempo): void {
  for (const [relation, holds] of relations(tempo)) {
    if (!holds) throw new Error(`The tempo is contradictory: ${relation}`);
  }
}

function relations({
  lease,
  database,
  recovery,
  retry,
  prompt,
  waitingRoom,
  attempt,
  transfer,
  spool,
  sources,
  backend,
  breaker,
  socket,
  store,
  results,
  keys,
}: Tempo): [relation: string, holds: boolean][] {
  return [
    ['a lease outlives three renewals', lease.holdsMs > 3 * lease.renewEveryMs],
    // The server's word is clearer, and statements that wait for a frozen transaction's locks go on.
    [
      'an idle transaction ends before a statement, and a statement before its query',
      database.idleTransactionDeadlineMs < database.statementDeadlineMs &&
        database.statementDeadlineMs < database.queryDeadlineMs,
    ],
    [
      'a backend is given up later than a dead gateway',
      recovery.abandonedAfterMs > lease.holdsMs + recovery.sweepEveryMs,
    ],
    [
      'a lost server is given up before its task is taken for abandoned',
      recovery.abandonedAfterMs > prompt.lostAfterMs,
    ],
    [
      'a prompt is a leftover only once its gateway has given up withdrawing it',
      recovery.leftoverAfterMs > attempt.withdrawPatienceMs,
    ],
    ['a prompt is polled several times before it is lost', prompt.lostAfterMs > 3 * prompt.pollMs],
    ['a stall is longer than a lost server', prompt.stallAtLeastMs > prompt.lostAfterMs],
    ['a refusal is told apart from silence', prompt.refusedAfterMs < prompt.lostAfterMs],
    [
      'a backend that reconnects in time keeps its task',
      waitingRoom.awayMs > 2 * socket.firstPauseMs,
    ],
    [
      'a full store is waited for longer than a failing one',
      transfer.fullPatienceMs > transfer.storePatienceMs,
    ],
    [
      'a failing store is waited for longer than a backend',
      transfer.storePatienceMs > transfer.backendPatienceMs,
    ],
    [
      'pauses grow',
      [
        [attempt.firstWithdrawPauseMs, attempt.longestWithdrawPauseMs],
        [retry.firstPauseMs, retry.longestPauseMs],
        [transfer.firstPauseMs, transfer.longestPauseMs],
        [spool.firstPauseMs, spool.longestPauseMs],
        [backend.firstIdentifyPauseMs, backend.longestIdentifyPauseMs],
        [sources.firstPauseMs, sources.longestPauseMs],
        [breaker.firstRestMs, breaker.longestRestMs],
        [socket.firstPauseMs, socket.longestPauseMs],
        [store.firstPauseMs, store.longestPauseMs],
      ].every(([first = 0, longest = 0]) => 0 < first && first < longest),
    ],
    ['keys are looked at before what was read is over', keys.holdMs > keys.lookEveryMs],
    ['an object outlives its completion', results.youngMs > results.commitMs],
  ];
}
