import assert from 'node:assert/strict';
import fc from 'fast-check';
import { parseDuration } from '../../../src/cli/keys/durations.ts';
import {
  ConfigError,
  readConfig,
  settingNames,
  unknownSettings,
} from '../../../src/config/config.ts';
import { describeAddress, parseDatabaseAddress } from '../../../src/db/address.ts';
import { dialectSettings } from '../../../src/http/dialects/index.ts';
import { mutatedText, oddText } from '../mutate.ts';
import { type FuzzTarget, target } from '../target.ts';

const secret = 'Zk7Qx9Wv2Rt5Zk7Qx9Wv2Rt5';

const databases = [
  `postgres://u:${secret}@[::1]:5432,b:1/db?sslmode=require&connect_timeout=3&options=-c%20a%3Db`,
  `postgresql:///db?host=/var/run&port=5433&user=a&password=${secret}&sslrootcert=system`,
  `postgres://a:${secret}@b/c?schema=d&keepalives_idle=9&channel_binding=require`,
];

const values = mutatedText([
  ...databases,
  ...['1', '0', '-1', '65536', '1e3', '0x10', ' 5 ', 'on', 'off', 'yes', 'none', '*', 'disk'],
  ...['http://127.0.0.1:8188,dns+http://a:1', `http://u:${secret}@a=/mnt/a`, 'https://a.example/x'],
  ...[`a:${secret}`, `a:${secret},b:${secret}`, 'gateway.lan,*.example.com', 'upscale:8089'],
  ...[
    '10.0.0.0/8,*.lan:80',
    'oss-cn-hangzhou',
    'https://oss-cn-hangzhou.aliyuncs.com',
    's3',
    'oss',
  ],
]);

const names = settingNames(dialectSettings);

export const settingTargets: readonly FuzzTarget[] = [
  target('settings', 4, {
    cases: fc.dictionary(
      fc.oneof({ weight: 9, arbitrary: fc.constantFrom(...names) }, oddText),
      fc.oneof({ weight: 3, arbitrary: values }, oddText),
      { minKeys: 1, maxKeys: 5 },
    ),
    check(env) {
      unknownSettings(env, dialectSettings);
      try {
        readConfig(env, dialectSettings);
      } catch (error) {
        assert.ok(error instanceof ConfigError, String(error));
        assert.ok(!error.message.includes(secret), error.message);
      }
    },
  }),
  target('database-address', 5, {
    cases: fc.oneof(
      { weight: 4, arbitrary: mutatedText(databases) },
      oddText.map((text) => `postgres://${text}`),
    ),
    check(url) {
      try {
        const address = parseDatabaseAddress(url);
        assert.ok(address.hosts.length > 0);
        for (const { host, port } of address.hosts) {
          assert.ok(host !== '' && Number.isInteger(port) && port > 0 && port <= 65_535);
        }
        describeAddress(address);
      } catch (error) {
        assert.ok(error instanceof Error && error.constructor === Error, String(error));
        assert.ok(!error.message.includes(secret), error.message);
      }
    },
  }),
  target('duration', 1, {
    cases: fc.oneof(mutatedText(['90d', '0', '999999h']), oddText),
    check(text) {
      const ms = parseDuration(text);
      assert.ok(ms === null || (Number.isSafeInteger(ms) && ms >= 0));
    },
  }),
];
