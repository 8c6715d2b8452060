import packageJson from '../../package.json' with { type: 'json' };
import { didYouMean } from '../core/nearest.ts';
import { run } from '../run.ts';
import type { Logger } from '../telemetry/logger.ts';
import { readArguments, UsageError } from './arguments.ts';

/** The command line: `bin/tmlsr.js` starts it. */

type Command = (args: readonly string[]) => Promise<void>;

const usage = `A gateway in front of a pool of ComfyUI servers.

  tmlsr serve              the service; its settings are environment variables (docs/configuration.md)
  tmlsr demo               upscales a picture and a clip through the whole gateway
  tmlsr workflows check    says what workflow files take, give, and where they run
  tmlsr workflows convert  prints a file of ComfyUI's editor in API format
  tmlsr keys               makes, lists, rotates and revokes API keys

  --help     how to call it; also after a command, or as tmlsr help COMMAND
  --version  which version it is`;

const workflowsUsage = `Looks into workflow files before clients call them.

  tmlsr workflows check [FILE…]     says what they take, give, and where they run
  tmlsr workflows convert FILE      prints a file of ComfyUI's editor in API format

  --help  how to call it; also after a command`;

const keysUsage = `Makes, lists, rotates and revokes API keys (docs/keys.md).

  tmlsr keys create --name NAME   makes a key and prints it, this one time
  tmlsr keys list                 lists the keys: whose they are, what they may do, when they were used
  tmlsr keys rotate ID            replaces a key by another one, and prints that
  tmlsr keys revoke ID            ends a key

  --help  how to call it; also after a command`;

const serveUsage = `Starts the service; its settings are environment variables (docs/configuration.md).

  tmlsr serve`;

await run(async (logTo) => {
  const [first, ...others] = process.argv.slice(2);
  if (first === '--version' && others.length === 0) console.log(packageJson.version);
  else
    await choose(
      'tmlsr',
      usage,
      { serve: serving(logTo), demo, workflows, keys },
      process.argv.slice(2),
    );
});

async function choose(
  name: string,
  help: string,
  commands: Readonly<Record<string, Command>>,
  [first, ...others]: readonly string[],
): Promise<void> {
  if (first === '--help' || first === '-h') {
    console.log(help);
    return;
  }
  // Of what `help` names, the command itself knows how it is called.
  if (first === 'help') return await choose(name, help, commands, [...others, '--help']);
  const known = Object.keys(commands);
  if (first === undefined) {
    throw new UsageError(name, `a command is missing: ${known.join(', ')}`);
  }
  const command = known.includes(first) ? commands[first] : undefined;
  if (!command) {
    const hint = didYouMean(first, known);
    throw new UsageError(name, `there is no command ${JSON.stringify(first)}${hint}`);
  }
  await command(others);
}

/** As `src/main.ts` does it. */
function serving(logTo: (logger: Logger) => void): Command {
  return async (args) => {
    const options = { help: { type: 'boolean', short: 'h' } } as const;
    const { values } = readArguments('tmlsr serve', { args: [...args], options });
    if (values.help) console.log(serveUsage);
    else await (await import('../serve.ts')).serve({ logTo });
  };
}

/** A program of its own, which finds its arguments where programs find them. */
async function demo(): Promise<void> {
  process.argv.splice(2, 1);
  await import('./demo.ts');
}

/** What they need is loaded only for them: `--help` answers at once. */
async function workflows(args: readonly string[]): Promise<void> {
  // Whoever reads along, `head` for one, may have read enough.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
  const commands = {
    check: async (rest: readonly string[]) =>
      (await import('./workflows/check.ts')).checkCommand(rest),
    convert: async (rest: readonly string[]) =>
      (await import('./workflows/convert.ts')).convertCommand(rest),
  };
  await choose('tmlsr workflows', workflowsUsage, commands, args);
}

async function keys(args: readonly string[]): Promise<void> {
  const load = () => import('./keys/commands.ts');
  const commands = {
    create: async (rest: readonly string[]) => (await load()).createCommand(rest),
    list: async (rest: readonly string[]) => (await load()).listCommand(rest),
    rotate: async (rest: readonly string[]) => (await load()).rotateCommand(rest),
    revoke: async (rest: readonly string[]) => (await load()).revokeCommand(rest),
  };
  await choose('tmlsr keys', keysUsage, commands, args);
}
