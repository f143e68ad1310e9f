// References of the form `<namespace>/<name>`: every function that acts on one reads it in the same way.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type NamespacedName, parseNamespacedName } from '#shared/api/names.ts'
import type { Upload } from '#shared/api/types.ts'
import { snapshotReference } from '#shared/controllers/mirror.ts'
import { tenantOf } from '#shared/domain/tenant.ts'

const LONGEST = { namespace: 'n'.repeat(63), name: 'a'.repeat(253) }

const TEXTS: [text: string, read: NamespacedName | undefined][] = [
  ['shop/a', { namespace: 'shop', name: 'a' }],
  ['shop/a.b-c.9', { namespace: 'shop', name: 'a.b-c.9' }],
  ['0/1', { namespace: '0', name: '1' }],
  [`${LONGEST.namespace}/${LONGEST.name}`, LONGEST],
  ['', undefined],
  ['/', undefined],
  ['shop', undefined],
  ['shop/', undefined],
  ['/a', undefined],
  ['shop/a/b', undefined],
  ['shop/a/', undefined],
  ['shop//a', undefined],
  ['/shop/a', undefined],
  ['Shop/a', undefined],
  ['shop/A b', undefined],
  ['Shop/A b', undefined],
  ['shop.eu/a', undefined],
  ['shop/..', undefined],
  ['../velero/a', undefined],
  [' shop/a', undefined],
  ['shop/a\n', undefined],
  ['shop/a%2fb', undefined],
  [`n${LONGEST.namespace}/a`, undefined],
  [`shop/a${LONGEST.name}`, undefined],
]

const uploadFor = (reference: unknown): Upload => ({
  apiVersion: 'datamover.cnsdp.vmware.com/v1alpha1',
  kind: 'Upload',
  metadata: { namespace: 'velero', name: 'u' },
  spec: { snapshotReference: reference } as Upload['spec'],
})

test('a reference is exactly two valid names with one slash between them', () => {
  for (const [text, read] of TEXTS) assert.equal(parseNamespacedName(text), read, text)
  for (const value of [undefined, null, 7, ['shop/a'], { namespace: 'shop', name: 'a' }])
    assert.is(parseNamespacedName(value), undefined, JSON.stringify(value))
})

test('an upload works for the Snapshot and the tenant that its reference names, or ends if it has one that names none', () => {
  for (const [text, read] of TEXTS) {
    const upload = uploadFor(text)
    assert.is(tenantOf(upload), read?.namespace ?? 'velero', text)
    if (read !== undefined || text === '') assert.equal(snapshotReference(upload), read, text)
    else assert.throws(() => snapshotReference(upload), isReferenceInvalid, text)
  }
  assert.is(snapshotReference(uploadFor(undefined)), undefined)
})

function isReferenceInvalid(error: unknown): boolean {
  return (error as { reason?: string }).reason === 'SnapshotReferenceInvalid'
}

test.run()
