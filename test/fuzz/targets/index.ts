import type { FuzzTarget } from '../target.ts';
import { comfyuiTargets } from './comfyui.ts';
import { gatewayTargets } from './gateway.ts';
import { hostTargets } from './hosts.ts';
import { jsonTargets } from './json.ts';
import { mediaTargets } from './media.ts';
import { requestTargets } from './requests.ts';
import { schedulingTargets } from './scheduling.ts';
import { settingTargets } from './settings.ts';
import { textTargets } from './texts.ts';
import { workflowTargets } from './workflows.ts';

/** Every part that is fuzzed. */
export const targets: readonly FuzzTarget[] = [
  ...textTargets,
  ...jsonTargets,
  ...hostTargets,
  ...settingTargets,
  ...workflowTargets,
  ...comfyuiTargets,
  ...schedulingTargets,
  ...requestTargets,
  ...mediaTargets,
  ...gatewayTargets,
];
