#!/usr/bin/env node
/**
 * `tmlsr`: plain JavaScript for whatever Node starts it, because the program itself is TypeScript that
 * only Node 24 runs as it is. An older Node passes everything on to the one that npm installed here.
 */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { constants } from 'node:os';
import { dirname, join } from 'node:path';
import { isatty } from 'node:tty';
import { fileURLToPath } from 'node:url';

const neededMajor = 24;
const program = new URL('../src/cli/main.ts', import.meta.url);

if (Number.parseInt(process.versions.node, 10) >= neededMajor) {
  await import(program.href);
} else {
  const node = ownNode();
  if (node) {
    passOn(node);
  } else {
    console.error(
      `tmlsr needs Node ${neededMajor} or newer, and this is ${process.version}. ` +
        `"npm ci" in its folder installs one for it; "npm ci --omit=dev" does not.`,
    );
    process.exitCode = 1;
  }
}

/** The Node of the npm package `node`; `null` where it is not installed. */
function ownNode() {
  try {
    const path = createRequire(import.meta.url).resolve('node/package.json');
    // Where the program lies differs by platform, and the package is rewritten to say it.
    return join(dirname(path), JSON.parse(readFileSync(path, 'utf8')).bin.node);
  } catch {
    return null;
  }
}

/** Runs the program with that Node, and ends as it ends. */
function passOn(node) {
  const args = ['--max-semi-space-size=4', fileURLToPath(program), ...process.argv.slice(2)];
  const child = spawn(node, args, { stdio: 'inherit' });
  child.on('error', (error) => {
    console.error(`The Node that npm installed cannot be run: ${error.message}`);
    process.exitCode = 1;
  });
  const hasTerminal = [0, 1, 2].some(isatty);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.on(signal, () => {
      // Ctrl-C reaches both of us; twice, it would cut short what it asks to end well.
      if (signal !== 'SIGINT' || !hasTerminal) child.kill(signal);
    });
  }
  child.on('exit', (code, signal) => {
    // As shells tell it.
    process.exitCode = signal === null ? code : 128 + constants.signals[signal];
  });
}
