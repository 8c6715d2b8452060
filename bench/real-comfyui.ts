/**
 * The gateway in front of real ComfyUI servers, which run somewhere and have
 *
 * - the node `EmulatorSleep` (image, seconds), which takes that long and passes the image on, and
 * - `GET /emulator/runs`, which tells when each prompt began and ended,
 *
 * both as the emulator has them. Exits with 1 when a bar is missed.
 *
 *   COMFYUI_URLS=http://127.0.0.1:8188,http://127.0.0.1:8189 npx node bench/real-comfyui.ts [scenario …]
 *
 * Of the scenarios, `slow` is for a second server that takes three times as long as it is asked to, and
 * `killed` needs KILL_B and START_B, commands that kill the second server and start it again; both run
 * only when they are named.
 */
import { againstQueued, killed, oneAtATime, oneSlow } from './scenarios/real.ts';
import { ComfyServers } from './support/comfy-servers.ts';
import { judge } from './support/figures.ts';

const { COMFYUI_URLS = '', KILL_B = '', START_B = '' } = process.env;
const urls = COMFYUI_URLS.split(',').filter((url) => url !== '');
if (urls.length < 2) throw new Error('COMFYUI_URLS must name two servers at least');

await using servers = await ComfyServers.open(urls);
const asked = process.argv.slice(2);
const scenarios = {
  seconds: againstQueued(servers, { tasks: 40, seconds: 1 }, (gateway, queued) => [
    { what: 'gateway: gap, p50', is: gateway.gapMs, unit: 'ms', atMost: 2 },
    { what: 'whole time, of that of queued prompts', is: gateway.ms / queued.ms, atMost: 1.01 },
  ]),
  short: againstQueued(servers, { tasks: 300, seconds: 0.02 }, (gateway, queued) => [
    { what: 'rate, of that of queued prompts', is: queued.ms / gateway.ms, atLeast: 0.95 },
  ]),
  latency: oneAtATime(servers),
  slow: oneSlow(servers),
  killed: killed(servers, { kill: KILL_B, start: START_B }),
};
const isGood = await judge(scenarios, asked.length > 0 ? asked : ['seconds', 'short', 'latency']);
process.exitCode = isGood ? 0 : 1;
