import { setTimeout as delay } from 'node:timers/promises';
import type { Tempo } from '../core/tempo.ts';
import type { Logger } from '../telemetry/logger.ts';
import type { ComfyClient } from './client.ts';
import { type ComfyMessage, endedPrompt } from './messages.ts';
import type { ComfySocket } from './socket.ts';

/** A server that took so long for an answer lately may take a few times as long for a message. */
const slowFactor = 3;

export interface HearingParts {
  readonly client: ComfyClient;
  readonly socket: ComfySocket;
  readonly logger: Logger;
  readonly tempo: Tempo['backend'];
}

/**
 * Judges a WebSocket that is silent. A server under load is late with messages and HTTP answers alike, so
 * HTTP is asked first: only a server that answers there has a deaf socket, and only the socket is made anew.
 */
export class Hearing {
  readonly #parts: HearingParts;
  #isAsking = false;

  constructor(parts: HearingParts) {
    this.#parts = parts;
    parts.socket.on('unanswered', () => void this.#judgePing());
  }

  /** HTTP has told the end of a prompt that the open socket is to tell as well. */
  async expectEnd(promptId: string, signal: AbortSignal): Promise<void> {
    const { client, socket, tempo } = this.#parts;
    const heard = new AbortController();
    const tell = () => heard.abort();
    const hear = (message: ComfyMessage) => {
      if (endedPrompt(message) === promptId) tell();
    };
    socket.on('message', hear).on('close', tell).on('renewing', tell);
    const over = AbortSignal.any([signal, heard.signal]);
    const isOverWithin = (ms: number) => delay(ms, false, { signal: over }).catch(() => true);
    try {
      const lagMs = Math.max(tempo.messageLagMs, client.answerTimes.slowestMs * slowFactor);
      if (await isOverWithin(lagMs)) return;
      // What it says now comes after what the socket had to say.
      if (!(await this.#answers(over)) || (await isOverWithin(tempo.messageLagMs))) return;
      this.#renew('it said nothing of a prompt that ended');
    } finally {
      socket.off('message', hear).off('close', tell).off('renewing', tell);
    }
  }

  /** A ping has no answer yet. */
  async #judgePing(): Promise<void> {
    if (this.#isAsking) return;
    this.#isAsking = true;
    const { socket } = this.#parts;
    const answers = await this.#answers(new AbortController().signal);
    this.#isAsking = false;
    if (!socket.isUnanswered) return;
    if (answers) this.#renew('it answers no ping');
    else socket.drop('it does not answer');
  }

  /** Whether the server answers over HTTP, soon by its own measure. */
  async #answers(signal: AbortSignal): Promise<boolean> {
    const { client, tempo } = this.#parts;
    const patienceMs = Math.max(tempo.probeMs, client.answerTimes.slowestMs * slowFactor);
    const deadline = AbortSignal.any([signal, AbortSignal.timeout(patienceMs)]);
    return await client.queue(deadline).then(
      () => true,
      () => false,
    );
  }

  #renew(reason: string): void {
    const { logger, socket } = this.#parts;
    logger.warn({ reason }, 'backend.deaf');
    socket.renew();
  }
}
