import { type ErrorCode, errorCodes } from '../../../core/errors.ts';

/** What this service says in another way than the core: its clients know of jobs and of their image. */
export const own: Partial<Record<ErrorCode, { code?: string; text?: string; status?: 413 | 503 }>> =
  {
    task_not_found: { code: 'job_not_found', text: 'There is no such job' },
    task_already_ended: { code: 'job_already_ended', text: 'The job has already ended' },
    source_too_large: { status: 413 },
    // The result is there; another try may have it.
    storage_failed: { status: 503 },
  };

/** In the words of this service, as its reference lists them. */
export const ownCodes: string[] = [
  ...errorCodes.map((code) => own[code]?.code ?? code),
  'job_not_completed',
  'result_deleted',
];
