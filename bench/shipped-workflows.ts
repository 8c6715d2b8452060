/**
 * Runs every shipped workflow on a ComfyUI server that runs somewhere, an emulator or a real one, and
 * looks at what comes out: as the graph makes it, and in a size that a client asked for. Prints a line
 * for each run, and exits with 1 when a result is missing or another than it should be.
 *
 *   npx node bench/shipped-workflows.ts --server http://127.0.0.1:8188 [--accept NAME,…] [NAME …]
 *
 * `--accept` names those that the server only has to accept, for want of a GPU or of the models'
 * weights: they are canceled at once.
 */
import { parseArgs } from 'node:util';
import { sizeAsTheWorkflowGives } from '../src/core/size-plan.ts';
import { shippedNames, shippedWorkflow, WorkflowRunner } from '../test/support/workflow-runner.ts';

/** Neither the aspect ratio of the source nor a size that any model makes. */
const asked = { ...sizeAsTheWorkflowGives, dims: { width: 102, height: 70 } };

const { values, positionals } = parseArgs({
  options: { server: { type: 'string' }, accept: { type: 'string', default: '' } },
  allowPositionals: true,
});
if (!values.server) throw new Error('--server must name a ComfyUI server');
const onlyAccepted = values.accept.split(',');

await using runner = await WorkflowRunner.open(values.server);
for (const name of positionals.length > 0 ? positionals : await shippedNames()) {
  const startedAt = performance.now();
  try {
    const workflow = await shippedWorkflow(name, runner.catalogue);
    const seen = onlyAccepted.includes(name)
      ? [await runner.accept(workflow)]
      : [await runner.run(workflow, sizeAsTheWorkflowGives), await runner.run(workflow, asked)];
    const seconds = ((performance.now() - startedAt) / 1_000).toFixed(1);
    console.log(`ok    ${name}: ${seen.join('; asked: ')} (${seconds} s)`);
  } catch (error) {
    process.exitCode = 1;
    console.log(`WRONG ${name}: ${error instanceof Error ? error.message : error}`);
    if (error instanceof Error && 'detail' in error) console.log(JSON.stringify(error.detail));
  }
}
