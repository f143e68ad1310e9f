// Every text, list and map of every kind has a bound, and what the functions themselves write always fits.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { encodeClaimMetadata } from '#shared/domain/claim-metadata.ts'
import { clip } from '#shared/domain/conditions.ts'
import { fitted } from '#shared/domain/fit.ts'
import { MAX_CA_CHARS } from '#shared/domain/repository-parameter-values.ts'
import { type Field, fieldsOf, type Schema, unboundedIn } from './crd-fields.ts'
import { objectsIn, ofKind } from './load.ts'

const bounds = suite('bounds of the kinds')

const crds = ofKind(objectsIn('config/crd'), 'CustomResourceDefinition')
const all = crds.flatMap((crd) => fieldsOf(crd))
const field = (path: string): Field => {
  const found = all.find((one) => one.path === path)
  assert.ok(found, path)
  return found as Field
}

bounds('every text, list, map and number-or-text of every kind has a bound', () => {
  assert.is(crds.length, 7)
  assert.ok(all.length > 200, 'the walk finds the fields')
  assert.equal(all.flatMap(unboundedIn), [])
})

bounds('the walk sees each kind of field that has no bound', () => {
  const cases: [Schema, RegExp][] = [
    [{ type: 'string' }, /maxLength/],
    [{ type: 'string', format: 'date-time' }, /maxLength/],
    [{ type: 'string', maxLength: 2 ** 21 }, /maxLength/],
    [{ type: 'array', items: { type: 'integer' } }, /maxItems/],
    [{ type: 'object', additionalProperties: { type: 'integer' } }, /maxProperties/],
    [{ type: 'object' }, /maxProperties/],
    [{ type: 'object', 'x-kubernetes-preserve-unknown-fields': true }, /preserve/],
    [{ 'x-kubernetes-int-or-string': true }, /int-or-string/],
  ]
  for (const [schema, wanted] of cases) assert.match(unboundedIn({ path: 'x', schema }).join(), wanted)
  assert.equal(unboundedIn({ path: 'x', schema: { type: 'string', enum: ['a'] } }), [])
})

bounds('a message that a function writes is cut to what the kinds take, wherever it is written', () => {
  const long = 'ä😀 '.repeat(50_000)
  const { status } = fitted({ status: { message: long, phase: 'Failed' } })
  for (const one of all.filter(({ path }) => path.endsWith('.message'))) {
    const maxLength = one.schema.maxLength ?? 0
    assert.ok(clip(long).length <= maxLength && (status.message?.length ?? 0) <= maxLength, one.path)
  }
  assert.is(status.phase, 'Failed')
  const other = { metadata: { labels: { a: 'b' } }, status: { phase: 'Failed' } }
  assert.is(fitted(other), other, 'what has no message goes through as it is')
})

bounds('the largest claim that can be backed up fits, and so does the largest CA bundle', () => {
  const claimOf = (chars: number) => ({
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: { name: 'data', namespace: 'app', annotations: { big: 'x'.repeat(chars) } },
    spec: {},
  })
  const largest = encodeClaimMetadata(claimOf(512 * 1024 - 200))
  assert.throws(() => encodeClaimMetadata(claimOf(512 * 1024)))
  for (const path of ['Snapshot.status.metadata', 'CloneFromSnapshot.spec.metadata'])
    assert.ok(largest.length <= (field(path).schema.maxLength ?? 0), path)
  for (const kind of ['BackupRepositoryClaim', 'BackupRepository'])
    assert.ok(MAX_CA_CHARS <= (field(`${kind}.repopsitoryParameters{}`).schema.maxLength ?? 0), kind)
})

bounds.run()
