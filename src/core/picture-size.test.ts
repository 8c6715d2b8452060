import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Graph, GraphNode } from './graph.ts';
import { pictureSize } from './picture-size.ts';

function node(class_type: string, inputs: GraphNode['inputs']): GraphNode {
  return { class_type, inputs };
}

const at = (width: number, height: number) => ({ node: 'load', width, height });
const load = node('LoadImage', { image: 'a.png' });
const save = (from: string) => node('SaveImage', { images: [from, 0] });
const pictures = { node: 'save', field: 'images' };

function seedVr2(inputs: GraphNode['inputs']): Graph {
  const upscaler = node('SeedVR2VideoUpscaler', { image: ['load', 0], ...inputs });
  return { load, upscaler, save: save('upscaler') };
}

function nativeSeedVr2(side: 'shorter' | 'longer', length: number): Graph {
  const resize_type = `scale ${side} dimension`;
  const inputs = { input: ['load', 0], resize_type, [`resize_type.${side}_size`]: length };
  return {
    load,
    resize: node('ResizeImageMaskNode', inputs),
    post: node('SeedVR2PostProcessing', {
      images: ['decode', 0],
      original_resized_images: ['resize', 0],
    }),
    decode: node('VAEDecode', {}),
    save: save('post'),
  };
}

describe('pictureSize', () => {
  // As torchvision resizes to a shorter side, and as the node trims what it made.
  const cases = [
    [{ width: 1920, height: 1080 }, { resolution: 2160, max_resolution: 0 }, '3840x2160'],
    [{ width: 480, height: 640 }, { resolution: 1080, max_resolution: 0 }, '1080x1440'],
    [{ width: 500, height: 500 }, { resolution: 1024, max_resolution: 0 }, '1024x1024'],
    // 65 x 97/64 = 98.5 loses its half, 65 its odd pixel.
    [{ width: 97, height: 64 }, { resolution: 65, max_resolution: 0 }, '98x64'],
    [{ width: 2000, height: 1000 }, { resolution: 4096, max_resolution: 4096 }, '4096x2048'],
    // 1440x1080 is limited to 1000x750.
    [{ width: 640, height: 480 }, { resolution: 1080, max_resolution: 1000 }, '1000x750'],
  ] as const;
  for (const [source, inputs, expected] of cases) {
    it(`knows what SeedVR2 makes of ${source.width}x${source.height} with ${JSON.stringify(inputs)}`, () => {
      const size = pictureSize(seedVr2(inputs), pictures, at(source.width, source.height));
      assert.equal(`${size?.width}x${size?.height}`, expected);
    });
  }

  it('knows what the native nodes of SeedVR2 make', () => {
    const wide = pictureSize(nativeSeedVr2('shorter', 1080), pictures, at(640, 480));
    assert.deepEqual(wide, { width: 1440, height: 1080 });
    // 0.5 rounds to the even neighbour: 97/64 x 32 = 48.5.
    const odd = pictureSize(nativeSeedVr2('shorter', 32), pictures, at(97, 64));
    assert.deepEqual(odd, { width: 48, height: 32 });
    const tall = pictureSize(nativeSeedVr2('shorter', 33), pictures, at(64, 97));
    assert.deepEqual(tall, { width: 32, height: 50 });
    const longer = pictureSize(nativeSeedVr2('longer', 2048), pictures, at(640, 480));
    assert.deepEqual(longer, { width: 2048, height: 1536 });
  });

  it('knows it of every frame of a video that comes as it is', () => {
    const parts = node('GetVideoComponents', { video: ['load', 0] });
    const core = { load: node('LoadVideo', { file: 'a.mp4' }), parts, save: save('parts') };
    const source = at(320, 240);
    assert.deepEqual(pictureSize(core, pictures, source), { width: 320, height: 240 });

    const vhs = (inputs: GraphNode['inputs']): Graph => ({
      load: node('VHS_LoadVideo', { custom_width: 0, custom_height: 0, ...inputs }),
      save: save('load'),
    });
    assert.deepEqual(pictureSize(vhs({}), pictures, source), { width: 320, height: 240 });
    assert.ok(pictureSize(vhs({ format: 'None' }), pictures, source));
    assert.equal(pictureSize(vhs({ custom_width: 512 }), pictures, source), null);
    assert.equal(pictureSize(vhs({ format: 'AnimateDiff' }), pictures, source), null);
    assert.equal(pictureSize(vhs({ vae: ['vae', 0] }), pictures, source), null);
  });

  it('takes the size that an ImageScale names, whatever comes before it', () => {
    const scale = (width: unknown): Graph => ({
      scale: node('ImageScale', { image: ['unknown', 0], width, height: 20 }),
      save: save('scale'),
    });
    const source = at(320, 240);
    assert.deepEqual(pictureSize(scale(30), pictures, source), { width: 30, height: 20 });
    assert.equal(pictureSize(scale(0), pictures, source), null);
    assert.equal(pictureSize(scale(['other', 0]), pictures, source), null);
  });

  it('does not know what an unknown node makes, or one whose length comes from another node', () => {
    const source = at(320, 240);
    const crop = { load, crop: node('ImageCrop', { image: ['load', 0] }), save: save('crop') };
    assert.equal(pictureSize(crop, pictures, source), null);
    const linked = seedVr2({ resolution: ['other', 0], max_resolution: 0 });
    assert.equal(pictureSize(linked, pictures, source), null);
    const named = { load: node('constructor', {}), save: save('load') };
    assert.equal(pictureSize(named, pictures, source), null);
  });

  it('does not take another picture for the source', () => {
    const graph = { load, other: load, save: save('other') };
    assert.equal(pictureSize(graph, pictures, at(320, 240)), null);
  });

  it('comes to an end in a cycle', () => {
    const one = node('SeedVR2PostProcessing', { original_resized_images: ['two', 0] });
    const two = node('SeedVR2PostProcessing', { original_resized_images: ['one', 0] });
    const graph = { one, two, save: save('one') };
    assert.equal(pictureSize(graph, pictures, at(320, 240)), null);
  });
});
