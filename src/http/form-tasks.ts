import type { TaskRequest } from '../core/task.ts';
import type { Tempo } from '../core/tempo.ts';
import type { TaskService, TaskView } from '../tasks/task-service.ts';
import type { ReceivedUpload, UploadService } from '../tasks/upload-service.ts';
import { type Form, readForm } from './multipart.ts';
import { paceOf } from './request-body.ts';

export type FormUploads = Pick<UploadService, 'receive' | 'keep' | 'discard'>;

/** What a form is received with. */
export interface FormParts {
  readonly uploads: Pick<UploadService, 'receive'>;
  readonly tempo: Tempo['http'];
}

/** A file of a form, as long as it lies on our disk. */
export interface FormFile {
  /** Under which it is kept, if a task comes to use it. */
  readonly id: string;
  readonly file: ReceivedUpload;
  /** What the client calls it. */
  readonly name: string | null;
}

export type ReceivedForm = Form<FormFile> & AsyncDisposable;

/**
 * Reads a form to its end, its files onto our disk. They are gone when it is disposed of.
 *
 * @throws GatewayError as `readForm` and `UploadService.receive` do.
 */
export async function receiveForm(
  request: Request,
  { uploads, tempo }: FormParts,
): Promise<ReceivedForm> {
  await using spooled = new AsyncDisposableStack();
  const form = await readForm(
    request,
    async (body, name) => {
      const file = spooled.use(await uploads.receive(body, request.signal));
      return { id: file.id, file, name };
    },
    paceOf(tempo),
  );
  const received = spooled.move();
  return { ...form, [Symbol.asyncDispose]: () => received.disposeAsync() };
}

/**
 * Submits a task whose files came with it, named by `uploadUrl` of their ids. They are kept before it is
 * taken on, and gone if it is not.
 */
export async function submitWithFiles(
  { tasks, uploads }: { readonly tasks: TaskService; readonly uploads: FormUploads },
  request: TaskRequest,
  form: ReceivedForm,
  signal: AbortSignal,
): Promise<TaskView> {
  tasks.check(request);
  const { tenant = '' } = request;
  const files = [...form.files.values()];
  try {
    for (const { file, name } of files) await uploads.keep(file, { tenant, name }, signal);
    return await tasks.submit(request);
  } catch (error) {
    await uploads.discard(files.map(({ id }) => id));
    throw error;
  }
}
