import {
  BufferTarget,
  Mp4OutputFormat,
  Output,
  Quality,
  VideoSample,
  VideoSampleSource,
} from 'mediabunny';
import sharp from 'sharp';

const side = 96;
const frames = 12;
const fps = 12;

/** A real clip, made here: one second of a camera that moves over the photograph. */
export async function filmPicture(path: string): Promise<Buffer> {
  // Native code and a development dependency: needed for this alone.
  const { registerMediabunnyServer } = await import('@mediabunny/server');
  registerMediabunnyServer({ hardwareContext: null });
  const { width, height } = await sharp(path).metadata();
  const output = new Output({ format: new Mp4OutputFormat(), target: new BufferTarget() });
  const video = new VideoSampleSource({ codec: 'avc', quality: new Quality('high') });
  output.addVideoTrack(video, { frameRate: fps });
  await output.start();
  for (let i = 0; i < frames; i += 1) {
    const along = i / (frames - 1);
    const pixels = await sharp(path)
      .extract({
        left: Math.round(along * (width - side)),
        top: Math.round(along * (height - side)),
        width: side,
        height: side,
      })
      .ensureAlpha()
      .raw()
      .toBuffer();
    using frame = new VideoSample(pixels, {
      format: 'RGBA',
      codedWidth: side,
      codedHeight: side,
      timestamp: i / fps,
      duration: 1 / fps,
    });
    await video.add(frame);
  }
  await output.finalize();
  return Buffer.from(output.target.buffer as ArrayBuffer);
}
