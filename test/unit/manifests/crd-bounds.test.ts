// Every text, list and map of every kind has a bound, and what the functions themselves write always fits.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { encodeClaimMetadata } from '#shared/domain/claim-metadata.ts'
import { fitted } from '#shared/domain/fit.ts'
import { MAX_CA_CHARS } from '#shared/domain/repository-parameter-values.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
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

/** As the API server counts (kube-openapi, validate.MaxLength): characters, not UTF-16 units. */
const characters = (text: string) => [...text].length

for (const kind of crds.map((crd) => String(crd['spec'].names.kind))) {
  const messages = all.filter(({ path }) => path.startsWith(`${kind}.status.`) && path.endsWith('.message'))

  bounds(`every message in a status is cut to what ${kind} takes, and never in the middle of a character`, () => {
    assert.ok(messages.length > 0)
    for (const one of messages) {
      const keys = one.path.split('.').slice(1)
      // Beginnings of even and odd length, so that a pair lies across each place where the text may be cut.
      for (const start of ['', 'x']) {
        const written = fitted(withText(keys, `${start}${'😀'.repeat(50_000)}`))
        const text = textAt(keys, written)
        assert.ok(characters(text) > 500 && characters(text) <= (one.schema.maxLength ?? 0), one.path)
        assert.ok(text.isWellFormed() && /^x?(😀)+…$/u.test(text), one.path)
      }
    }
  })
}

/** `['status', 'conditions[]', 'message']` */
function withText(keys: readonly string[], text: string): object {
  const [key = '', ...rest] = keys
  const value = rest.length === 0 ? text : withText(rest, text)
  return key.endsWith('[]') ? { [key.slice(0, -2)]: [{}, value] } : { [key]: value }
}

function textAt(keys: readonly string[], value: unknown): string {
  const found = keys.reduce<unknown>((at, key) => {
    const field = (at as Record<string, unknown>)[key.replace('[]', '')]
    return key.endsWith('[]') ? (field as unknown[])[1] : field
  }, value)
  return String(found)
}

bounds('what is no message of a status goes through as it is', () => {
  const long = 'x'.repeat(5000)
  const other = {
    metadata: { annotations: { message: long } },
    spec: { message: long },
    status: { phase: 'Failed', metadata: long, conditions: [{ reason: long }], task: null, progress: { percent: 3 } },
  }
  assert.equal(fitted(other), other)
  assert.equal(fitted({ status: null }), { status: null })
})

/** Fields that only Dormouse writes, or that are checked at their source. Cutting one would make it name something else. */
const IDS = {
  storageLocation: 'name',
  repositoryId: 'hex',
  apiGroup: 'of the request',
  kind: 'of the request',
  name: 'of the request',
  stagingClaim: 'name',
  volumeName: 'name',
  volumeID: 'checkId',
  downloadName: 'name',
  restoredVolume: 'JSON of bounded fields',
  vcenter: 'of the settings',
  task: 'checkTask',
  processingNode: 'name',
  root: 'key',
  snapshotID: 'formatClaimSnapshotId',
  svcSnapshotName: 'name',
  uploadName: 'name',
  session: 'formatSession',
  parentRoot: 'key',
}
/** `reason` and `type` are words of the code, `summary` consists of numbers. */
const OWN_WORDS = ['reason', 'type', 'summary']

bounds('each text of a status that is no message is known to be short: a new one needs its reason here', () => {
  const texts = all.filter(({ path, schema }) => /\.status\./.test(path) && schema.type === 'string')
  const free = texts.filter(({ schema }) => schema.enum === undefined && schema.format === undefined)
  const names = new Set(free.map(({ path }) => path.split('.').at(-1)))
  assert.equal([...names].sort(), ['message', ...OWN_WORDS, ...Object.keys(IDS)].sort())
})

bounds('the largest claim that can be backed up fits, and so does the largest CA bundle', () => {
  const claimOf = (chars: number): LooseObject => ({
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
