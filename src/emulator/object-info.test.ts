import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Catalog, classes } from './object-info.ts';

describe('a catalogue', () => {
  it('offers everything, word for word, where nothing is taken out', () => {
    assert.deepEqual(new Catalog().classes, classes);
  });

  it('is without the classes that are taken out, and only those', () => {
    const catalog = new Catalog({ withoutNodes: ['SaveVideo', 'NoSuchNode'] });
    assert.equal(catalog.classes.has('SaveVideo'), false);
    assert.equal(catalog.classes.size, classes.size - 1);
  });

  it('is without the models that are taken out, wherever they are listed', () => {
    const all = new Catalog();
    const [dit = '', ...others] = all.optionsOf('SeedVR2LoadDiTModel', 'model');
    const withoutModels = ['RealESRGAN_x2plus.pth', dit];
    const catalog = new Catalog({ withoutModels });
    assert.deepEqual(catalog.optionsOf('SeedVR2LoadDiTModel', 'model'), others);
    const upscaleModels = all
      .modelsIn('upscale_models')
      ?.filter((name) => name !== 'RealESRGAN_x2plus.pth');
    assert.deepEqual(catalog.modelsIn('upscale_models'), upscaleModels);
    assert.ok(upscaleModels?.includes('RealESRGAN_x4plus.pth'));
    const seedVr2Models = all.modelsIn('seedvr2')?.filter((name) => name !== dit);
    assert.deepEqual(catalog.modelsIn('seedvr2'), seedVr2Models);
    assert.deepEqual(catalog.classes.get('LoadImage'), classes.get('LoadImage'));
  });
});
