/** The shapes that stand in requests, answers and messages, named as ComfyUI names them. */

/** A link to another node's output, or a plain value. */
export type PromptInput = unknown;

export interface PromptNode {
  readonly class_type: string;
  readonly inputs: Record<string, PromptInput>;
}

/** A graph in API format, by node id. */
export type Prompt = Readonly<Record<string, PromptNode>>;

export type ExtraData = Record<string, unknown>;

/** An entry of `/queue`: number, id, graph, extra data, the output nodes to execute. */
export type QueueItem = readonly [
  number: number,
  promptId: string,
  prompt: Prompt,
  extraData: ExtraData,
  outputs: readonly string[],
];

export type StatusMessage = readonly [event: string, data: Record<string, unknown>];

export interface NodeMeta {
  readonly node_id: string;
  readonly display_node: string;
  readonly parent_node: null;
  readonly real_node_id: string;
}

export interface HistoryEntry {
  readonly prompt: QueueItem;
  readonly outputs: Record<string, unknown>;
  readonly status: {
    readonly status_str: 'success' | 'error';
    readonly completed: boolean;
    readonly messages: readonly StatusMessage[];
  };
  readonly meta: Record<string, NodeMeta>;
}

export interface FileReference {
  readonly filename: string;
  readonly subfolder: string;
  readonly type: FolderType;
}

export const folderTypes = ['input', 'output', 'temp'] as const;
export type FolderType = (typeof folderTypes)[number];

export function isFolderType(value: string): value is FolderType {
  return (folderTypes as readonly string[]).includes(value);
}

/** Any array is a link to the validator; only a string id with a number of a slot resolves. */
export function isLink(value: unknown): value is readonly [nodeId: string, slot: number] {
  return (
    Array.isArray(value) &&
    value.length === 2 &&
    typeof value[0] === 'string' &&
    typeof value[1] === 'number'
  );
}
