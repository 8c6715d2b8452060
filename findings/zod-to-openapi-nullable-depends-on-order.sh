#!/usr/bin/env bash
# @asteasolutions/zod-to-openapi 9.1.0 (OpenAPI 3.1): what `.nullable()` of a named schema means depends on which use of the
# name comes first. After a plain use, the nullable field is `allOf` of the reference and `string | null`, which refuses
# null. Before one, the name itself takes null, and so does every plain field. A union with null is right in both orders.
# What TMLSR does: a union (`error_code` and `paused` in src/http/dialects/tmlsr/schema.ts), and test/documents.test.ts looks for others.
# Objects become nullable by their name in the same way.
#
# Seen with @asteasolutions/zod-to-openapi 9.1.0, zod 4.6.7, ajv 8.20.0, Node 24.21.0 and 20.20.2, each field given null:
#   plain first, then nullable: plain refuses it, nullable refuses it
#   nullable first, then plain: plain takes it, nullable takes it
#   plain first, then a union:  plain refuses it, nullable takes it
#   a union first, then plain:  plain refuses it, nullable takes it
#
# Ends with 0 while that is so, and with 1 as soon as it is not.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{ "type": "module", "private": true }' > package.json
npm install --loglevel=error --no-audit --no-fund @asteasolutions/zod-to-openapi@9.1.0 zod@4.6.7 ajv@8.20.0

cat > finding.js <<'JS'
import assert from 'node:assert/strict'
import { extendZodWithOpenApi, OpenApiGeneratorV31, OpenAPIRegistry } from '@asteasolutions/zod-to-openapi'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { z } from 'zod'

extendZodWithOpenApi(z)
const byNullable = letter => letter.nullable()
const byUnion = letter => z.union([letter, z.null()])
const orders = {
  'plain first, then nullable': [byNullable, ['plain', 'nullable']],
  'nullable first, then plain': [byNullable, ['nullable', 'plain']],
  'plain first, then a union': [byUnion, ['plain', 'nullable']],
  'a union first, then plain': [byUnion, ['nullable', 'plain']]
}

function takesNull(orNull, order) {
  const plain = z.enum(['a', 'b']).openapi('Letter')
  const fields = { plain, nullable: orNull(plain) }
  const registry = new OpenAPIRegistry()
  registry.register('Answer', z.object(Object.fromEntries(order.map(name => [name, fields[name]]))))
  const document = new OpenApiGeneratorV31(registry.definitions).generateComponents()
  const ajv = new Ajv2020({ strict: false }).addSchema(document, 'api')
  const fits = ajv.compile({ $ref: 'api#/components/schemas/Answer' })
  assert.ok(fits({ plain: 'a', nullable: 'b' }))
  return { plain: fits({ plain: null, nullable: 'b' }), nullable: fits({ plain: 'a', nullable: null }) }
}

const seen = Object.entries(orders).map(([order, [orNull, names]]) => {
  const { plain, nullable } = takesNull(orNull, names)
  const word = takes => (takes ? 'takes' : 'refuses')
  console.log(`${order}: plain ${word(plain)} it, nullable ${word(nullable)} it`)
  return [plain, nullable]
})
assert.deepEqual(seen, [[false, false], [true, true], [false, true], [false, true]])
JS
node --version
if ! node finding.js; then
  echo 'This is another behaviour than the one that was seen.'
  exit 1
fi
