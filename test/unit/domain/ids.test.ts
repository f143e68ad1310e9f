// The Velero Plugin for vSphere's id grammar, on its own examples and on hostile ones.

import { readFileSync } from 'node:fs'
import * as fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { decodeClaimMetadata, encodeClaimMetadata } from '#shared/domain/claim-metadata.ts'
import {
  formatClaimSnapshotId,
  parseClaimSnapshotId,
  parseDiskId,
  parseDiskSnapshotId,
  unwrapToDisk,
} from '#shared/domain/ids.ts'
import { TerminalError } from '#shared/kernel/errors.ts'
import type { LooseObject } from '#test/support/loose-object.ts'

const FCD = 'd8740414-6ff3-46c6-9b38-9e47e40afb06'
const SNAP = '3d57057d-e070-4d49-bbe4-1cf4af13cb64'
const SEED_ID =
  'pvc:test-ns-mctwohb/etcd0-pv-claim:aXZkOmQ4NzQwNDE0LTZmZjMtNDZjNi05YjM4LTllNDdlNDBhZmIwNjozZDU3MDU3ZC1lMDcwLTRkNDktYmJlNC0xY2Y0YWYxM2NiNjQ'

test('the seed example decodes to its claim and disk, and is written the same way again', () => {
  const id = parseClaimSnapshotId(SEED_ID)
  assert.equal(id, { namespace: 'test-ns-mctwohb', claim: 'etcd0-pv-claim', disk: { fcdId: FCD, snapshotId: SNAP } })
  assert.is(formatClaimSnapshotId(id), SEED_ID)
})

test("a guest cluster's id is unwrapped through both of its layers", () => {
  const inner = Buffer.from(`ivd:${FCD}:${SNAP}`).toString('base64').replace(/=+$/, '')
  const outer = Buffer.from(`paravirt-pv:pvc-1234:${inner}`).toString('base64').replace(/=+$/, '')
  assert.equal(unwrapToDisk(`pvc:guest/data:${outer}`), { fcdId: FCD, snapshotId: SNAP })
})

// An Upload and a Download need not have an id: the Velero Plugin for vSphere's schema does not require one.
const HOSTILE: [why: string, text: string | undefined][] = [
  ['not there', undefined],
  ['empty', ''],
  ['another type', `file:${FCD}:${SNAP}`],
  ['too many parts', `ivd:${FCD}:${SNAP}:x`],
  ['path parts', 'ivd:../../etc/passwd:x'],
  ['NUL', `ivd:${FCD}:a\0b`],
  ['1 MiB long', `ivd:${'a'.repeat(1 << 20)}`],
  ['no snapshot', `ivd:${FCD}`],
]

for (const [why, text] of HOSTILE) {
  test(`an id is refused by name: ${why}`, () => {
    assert.throws(
      () => parseDiskSnapshotId(text),
      (error: unknown) =>
        error instanceof TerminalError && error.reason === 'SnapshotIDInvalid' && error.message.length < 400,
    )
  })
}

test('nesting without end is refused', () => {
  let text = `ivd:${FCD}:${SNAP}`
  for (let i = 0; i < 8; i++) text = `pvc:a/b:${Buffer.from(text).toString('base64')}`
  assert.throws(() => unwrapToDisk(text), /nested too deeply|longer than/)
})

test('any text either parses or is a TerminalError', () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 300 }), (text) => {
      for (const parse of [parseDiskId, parseClaimSnapshotId, unwrapToDisk]) {
        try {
          parse(text)
        } catch (error) {
          if (!(error instanceof TerminalError)) throw error
        }
      }
    }),
  )
})

test('the metadata blobs of the seed hold their claims', () => {
  const blobs = JSON.parse(readFileSync('test/fixtures/seed/metadata-blobs.json', 'utf8')) as Record<string, string>
  const etcd = decodeClaimMetadata(blobs['etcd0-pv-claim'] ?? '')
  assert.is(etcd.metadata.name, 'etcd0-pv-claim')
  assert.is(etcd.metadata.namespace, 'test-ns-mctwohb')
  assert.is(etcd.metadata.uid, '80868f8b-4fec-4bd2-b246-e52c66db553a')
  assert.is(etcd['spec'].storageClassName, 'kibishii-storage-class')
  assert.equal(etcd['spec']?.resources?.requests, { storage: '1Gi' })
  assert.is(etcd['status']?.phase, 'Bound')
  const kibishii = decodeClaimMetadata(blobs['kibishii-data-kibishii-deployment-0'] ?? '')
  assert.equal(kibishii.metadata.labels, { app: 'kibishii' })
  assert.equal(kibishii['spec'].accessModes, ['ReadWriteOnce'])
})

test('a claim survives the way into the blob and back', () => {
  const claim: LooseObject = {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: {
      name: 'data',
      namespace: 'db',
      uid: 'u-1',
      resourceVersion: '17',
      creationTimestamp: '2026-11-21T01:02:03Z',
      labels: { app: 'pg', tier: '' },
      annotations: { 'a.b/c': 'ü "quoted"' },
      finalizers: ['kubernetes.io/pvc-protection'],
      ownerReferences: [{ apiVersion: 'apps/v1', kind: 'StatefulSet', name: 'pg', uid: 'u-2', controller: true }],
    },
    spec: {
      accessModes: ['ReadWriteOnce'],
      resources: { requests: { storage: '5Gi' }, limits: { storage: '6Gi' } },
      volumeName: 'pvc-1',
      storageClassName: 'fast',
      volumeMode: 'Block',
      selector: { matchLabels: { a: 'b' }, matchExpressions: [{ key: 'k', operator: 'In', values: ['v', 'w'] }] },
      dataSourceRef: { kind: 'VolumeSnapshot', name: 's', apiGroup: 'snapshot.storage.k8s.io' },
    },
    status: { phase: 'Bound', accessModes: ['ReadWriteOnce'], capacity: { storage: '5Gi' } },
  }
  assert.equal(decodeClaimMetadata(encodeClaimMetadata(claim)), claim)
})

test('bytes that are no claim are refused, never half read', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      try {
        decodeClaimMetadata(Buffer.from(bytes).toString('base64'))
      } catch (error) {
        if (!(error instanceof TerminalError) || error.reason !== 'MetadataInvalid') throw error
      }
    }),
  )
})

test.run()
