import type { MediaInfo } from './media.ts';
import type { ResultKind } from './result-format.ts';
import type { Warning } from './warning.ts';

/** What a source has that a workflow cannot give back. `makes`: of which kind its main result is. */
export function sourceWarnings(source: MediaInfo, makes: ResultKind): Warning[] {
  if (source.kind !== 'video') return [];
  const warnings: Warning[] = [];
  if (source.isHdr) {
    const message =
      'The source is HDR, and nothing maps its tones: where HDR cannot be shown, the result looks pale';
    warnings.push({ code: 'hdr_source', message });
  }
  if (source.isVariableRate && makes === 'video') {
    const message =
      'The frames of the source come at a variable rate; those of the result come at its mean';
    warnings.push({ code: 'variable_rate', message });
  }
  return warnings;
}
