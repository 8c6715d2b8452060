import type { Page } from 'playwright-core';

/** What a browser makes of a clip. */
export interface Shown {
  readonly width: number;
  readonly height: number;
  /** Red, green and blue in the middle of each bar of the first picture. */
  readonly colours: readonly (readonly number[])[];
}

/**
 * Plays a clip to its first picture and draws that onto a canvas: what a person sees of it.
 *
 * @param bars How many upright bars of equal width the picture has.
 */
export async function showClip(
  page: Page,
  clip: Buffer,
  contentType: string,
  bars: number,
): Promise<Shown> {
  const url = `data:${contentType};base64,${clip.toString('base64')}`;
  return await page.evaluate<Shown>(`(${inPage})(${JSON.stringify({ url, bars })})`);
}

/** The page's own language: types of browsers are none of this program's. */
const inPage = `async ({ url, bars }) => {
  const blob = await (await fetch(url)).blob();
  const video = document.createElement('video');
  video.muted = true;
  const shown = new Promise((resolve, reject) => {
    video.requestVideoFrameCallback(resolve);
    video.onerror = () => reject(new Error(video.error.message));
  });
  video.src = URL.createObjectURL(blob);
  video.play().catch(() => {});
  await shown;
  const { videoWidth: width, videoHeight: height } = video;
  const context = new OffscreenCanvas(width, height).getContext('2d');
  context.drawImage(video, 0, 0);
  const colours = Array.from({ length: bars }, (_, bar) => {
    const x = Math.floor(((bar + 0.5) * width) / bars);
    return [...context.getImageData(x, height >> 1, 1, 1).data.subarray(0, 3)];
  });
  URL.revokeObjectURL(video.src);
  return { width, height, colours };
}`;
