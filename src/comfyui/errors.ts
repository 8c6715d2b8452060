import type { z } from 'zod';
import { GatewayError } from '../core/errors.ts';
import type { Prompt } from '../core/workflow.ts';
import type { ExecutionError, promptRefused } from './messages.ts';

export function backendUnreachable(cause: unknown): GatewayError {
  return new GatewayError('backend_unreachable', 'The ComfyUI server does not answer', { cause });
}

export function backendFailed(what: string, detail: unknown): GatewayError {
  return new GatewayError('backend_failed', `The ComfyUI server could not ${what}`, { detail });
}

/** Names what is wrong by node; the details of the server (lists of its files, tracebacks) stay here. */
export function promptRejected(
  prompt: Prompt,
  refused: z.infer<typeof promptRefused>,
): GatewayError {
  const reasons = Object.entries(refused.node_errors).flatMap(([id, { errors }]) =>
    errors.map((error) => `${titleOf(prompt, id)}: ${error.message} (${error.type})`),
  );
  const reason = reasons.length > 0 ? reasons.join('; ') : refused.error.message;
  return new GatewayError('prompt_rejected', `ComfyUI refused the workflow: ${reason}`, {
    detail: refused,
  });
}

/** A node's exception, without the traceback and the server's paths that come with it. */
export function executionFailed(error: ExecutionError): GatewayError {
  const where = error.node_type ?? 'A node';
  if (isOutOfMemory(error)) {
    return new GatewayError(
      'out_of_memory',
      `${where} ran out of GPU memory; a smaller input or output may fit`,
      { detail: error },
    );
  }
  const message = withoutPaths(firstLine(error.exception_message ?? '')) || 'no message';
  return new GatewayError('execution_failed', `${where} failed: ${message}`, { detail: error });
}

function isOutOfMemory({ exception_type = '', exception_message = '' }: ExecutionError): boolean {
  return (
    /OutOfMemoryError|MemoryError/.test(exception_type) || /out of memory/i.test(exception_message)
  );
}

export function titleOf(prompt: Prompt, id: string): string {
  const node = prompt[id];
  if (!node) return `node ${id}`;
  return node._meta?.title ?? node.class_type;
}

function firstLine(text: string): string {
  return text.trim().split('\n', 1)[0]?.slice(0, 300) ?? '';
}

function withoutPaths(text: string): string {
  return text.replace(/(?:[A-Za-z]:\\|\/)[^\s'"]*[\\/][^\s'":,]*/g, '…');
}
