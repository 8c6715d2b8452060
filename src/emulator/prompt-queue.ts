/**
 * ComfyUI's queue: a binary heap on (number, prompt id), one running prompt, and the history in
 * memory. The heap is Python's `heapq`, step for step, because `/queue` lists it as it lies.
 */
import { PythonError } from './python.ts';
import type { HistoryEntry, QueueItem } from './wire.ts';

const maxHistory = 10_000;

export class PromptQueue {
  readonly #onUpdate: () => void;
  readonly #heap: QueueItem[] = [];
  readonly #running = new Set<QueueItem>();
  readonly #history = new Map<string, HistoryEntry>();
  #wake: (() => void) | null = null;
  #wedged = false;
  #counter = 0;

  /** `onUpdate` is called at every change of the queue: the server broadcasts a `status` then. */
  constructor(onUpdate: () => void) {
    this.#onUpdate = onUpdate;
  }

  /** The number for the next prompt. It grows with every `POST /prompt`, accepted or not. */
  nextNumber(): number {
    return this.#counter++;
  }

  put(item: QueueItem): void {
    // Equal number and equal id: Python then compares the graphs, which cannot be compared. The
    // item stays in the heap all the same.
    pushHeap(this.#heap, item);
    this.#onUpdate();
    this.#wake?.();
  }

  /** The next prompt to run, which is from then on the running one. */
  async take(signal: AbortSignal): Promise<QueueItem> {
    for (;;) {
      while (this.#wedged || this.#heap.length === 0) await this.#change(signal);
      signal.throwIfAborted();
      try {
        const item = popHeap(this.#heap);
        this.#running.add(item);
        this.#onUpdate();
        return item;
      } catch {
        // As recorded: the same comparison kills the thread that runs prompts.
        this.#wedged = true;
      }
    }
  }

  done(item: QueueItem, entry: HistoryEntry): void {
    this.#running.delete(item);
    const [oldest] = this.#history.keys();
    if (this.#history.size > maxHistory && oldest !== undefined) this.#history.delete(oldest);
    this.#history.set(item[1], entry);
    this.#onUpdate();
  }

  /** Takes one pending prompt of this id out, if there is one. */
  delete(promptId: string): boolean {
    const index = this.#heap.findIndex((item) => item[1] === promptId);
    if (index < 0) return false;
    this.#heap.splice(index, 1);
    heapify(this.#heap);
    this.#onUpdate();
    return true;
  }

  clear(): void {
    this.#heap.length = 0;
    this.#onUpdate();
  }

  /** What is pending stays pending, for ever. */
  wedge(): void {
    this.#wedged = true;
  }

  get remaining(): number {
    return this.#heap.length + this.#running.size;
  }

  get pending(): readonly QueueItem[] {
    return this.#heap;
  }

  get running(): readonly QueueItem[] {
    return [...this.#running];
  }

  historyOf(promptId: string): HistoryEntry | undefined {
    return this.#history.get(promptId);
  }

  /** Oldest first; without an offset the newest `maxItems`. */
  listHistory(maxItems: number | null, offset: number): Record<string, HistoryEntry> {
    const entries = [...this.#history];
    const newest = offset < 0 && maxItems !== null;
    const start = newest ? Math.max(0, entries.length - maxItems) : Math.max(0, offset);
    const end = maxItems === null ? undefined : start + maxItems;
    return Object.fromEntries(entries.slice(start, end));
  }

  deleteHistory(promptId: string): void {
    this.#history.delete(promptId);
  }

  clearHistory(): void {
    this.#history.clear();
  }

  #change(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      signal.throwIfAborted();
      const abort = () => reject(signal.reason);
      signal.addEventListener('abort', abort, { once: true });
      this.#wake = () => {
        signal.removeEventListener('abort', abort);
        resolve();
      };
    });
  }
}

function isBefore(a: QueueItem, b: QueueItem): boolean {
  if (a[0] !== b[0]) return a[0] < b[0];
  if (a[1] !== b[1]) return a[1] < b[1];
  throw new PythonError('TypeError', "'<' not supported between instances of 'dict' and 'dict'");
}

function pushHeap(heap: QueueItem[], item: QueueItem): void {
  heap.push(item);
  siftDown(heap, 0, heap.length - 1);
}

function popHeap(heap: QueueItem[]): QueueItem {
  const last = heap.pop() as QueueItem;
  const first = heap[0];
  if (first === undefined) return last;
  heap[0] = last;
  siftUp(heap, 0);
  return first;
}

function heapify(heap: QueueItem[]): void {
  for (let index = Math.floor(heap.length / 2) - 1; index >= 0; index--) siftUp(heap, index);
}

/** Moves the item at `index` towards the root until its parent is smaller. */
function siftDown(heap: QueueItem[], start: number, index: number): void {
  const item = heap[index] as QueueItem;
  let position = index;
  while (position > start) {
    const parent = (position - 1) >> 1;
    if (!isBefore(item, heap[parent] as QueueItem)) break;
    heap[position] = heap[parent] as QueueItem;
    position = parent;
  }
  heap[position] = item;
}

/** Moves the smaller child up until a leaf is reached, then lets the item sink from there. */
function siftUp(heap: QueueItem[], index: number): void {
  const item = heap[index] as QueueItem;
  let position = index;
  let child = 2 * position + 1;
  while (child < heap.length) {
    const right = heap[child + 1];
    if (right !== undefined && !isBefore(heap[child] as QueueItem, right)) child += 1;
    heap[position] = heap[child] as QueueItem;
    position = child;
    child = 2 * position + 1;
  }
  heap[position] = item;
  siftDown(heap, index, position);
}
