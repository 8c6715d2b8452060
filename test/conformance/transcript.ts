/** Recordings, and how what happens now is compared with them: by kind and order, not by time. */
import { readFileSync } from 'node:fs';
import type { Message } from './client.ts';

export interface RecordedRun {
  readonly recording: string;
  readonly promptId: string;
  readonly hasClientId: boolean;
  readonly prompt: Graph;
  readonly received: readonly { readonly client: string; readonly message: Message }[];
  readonly history: HistoryShape | null;
}

export type Graph = Record<string, { class_type: string; inputs: Record<string, unknown> }>;

interface HistoryShape {
  readonly outputs: Record<string, unknown>;
  readonly meta: Record<string, unknown>;
  readonly status: { status_str: string; completed: boolean; messages: [string, object][] };
}

// biome-ignore lint/suspicious/noExplicitAny: each file has its own shape
export function recording(name: string): any {
  return JSON.parse(readFileSync(new URL(`../recordings/${name}.json`, import.meta.url), 'utf8'));
}

export function recordedRun(name: string): RecordedRun {
  return recording(`run-${name}`);
}

/** The graph as another server can run it: the recorded server's own test nodes are replaced. */
export function playable(run: RecordedRun, changes: Record<string, unknown> = {}): Graph {
  const nodes = Object.entries(structuredClone(run.prompt)).map(([id, node]) => {
    const { image, seconds = 0, steps = 0, nonce = 0 } = node.inputs;
    if (node.class_type === 'GwSleep' || node.class_type === 'GwRaise') {
      const time = { seconds: Math.min(Number(seconds), 1.5), ticks: steps, nonce };
      return [id, { class_type: 'EmulatorSleep', inputs: { image, ...time } }];
    }
    if (node.class_type === 'GwNull') {
      return [id, { class_type: 'PreviewImage', inputs: { images: image } }];
    }
    for (const name of Object.keys(node.inputs)) {
      if (name in changes) node.inputs[name] = changes[name];
    }
    return [id, node];
  });
  return Object.fromEntries(nodes);
}

/** What one client heard, a line a message, with repeated ticks as one. */
export function transcript(messages: readonly Message[]): string[] {
  const lines: string[] = [];
  for (const message of messages) {
    lines.push(line(message));
    const [a, b, c, d] = lines.slice(-4);
    const isTick = d?.startsWith('progress ') === true;
    if (isTick && a === c && b === d) lines.splice(-2);
  }
  return lines;
}

function line({ type, data }: Message): string {
  switch (type) {
    case 'status':
      return `status ${data.status.exec_info.queue_remaining}${data.sid ? ' sid' : ''}`;
    case 'execution_cached':
      return `execution_cached ${data.nodes.toSorted().join(' ')}`;
    case 'progress_state': {
      const states = Object.values<{ node_id: string; state: string }>(data.nodes);
      return `progress_state ${states.map(({ node_id, state }) => `${node_id}=${state}`).join(' ')}`;
    }
    case 'progress':
      return `progress ${data.node}`;
    case 'executing':
      return `executing ${data.node}${'prompt_id' in data ? '' : ', no prompt_id'}`;
    case 'executed':
      return `executed ${data.node}`;
    case 'execution_error':
    case 'execution_interrupted':
      return `${type} ${data.node_id} after ${data.executed.toSorted().join(' ')}`;
    default:
      return type;
  }
}

/** By type, the keys of the data; of a `status` with an id apart. */
export function keysByType(messages: readonly Message[]): Record<string, string[]> {
  const kinds = messages.map(({ type, data }): [string, string[]] => [
    'sid' in data ? `${type} with sid` : type,
    Object.keys(data).toSorted(),
  ]);
  return Object.fromEntries(kinds.toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

export function historyShape({ outputs, meta, status }: HistoryShape): object {
  return {
    outputs: Object.keys(outputs).toSorted(),
    meta: Object.keys(meta).toSorted(),
    status_str: status.status_str,
    completed: status.completed,
    messages: status.messages.map(([event, data]) => [event, Object.keys(data).toSorted()]),
  };
}

/** Names and kinds of an output, without the numbers in the names. */
export function outputShape(output: unknown): unknown {
  return JSON.parse(JSON.stringify(output), (key, value) => {
    if (key === 'filename' || key === 'workflow') return String(value).replace(/\d{5}/, 'NNNNN');
    if (key === 'subfolder' || key === 'fullpath') return typeof value;
    return value;
  });
}
