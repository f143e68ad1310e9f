// The Snapshot inside of a backup, in the form of the Velero Plugin for vSphere.

import { readFileSync } from 'node:fs'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { parse } from 'yaml'
import type { LooseObject } from '#test/support/loose-object.ts'
import {
  decodeBlob,
  encodeBlob,
  isBlobOf,
  peekBlob,
  storedSnapshot,
  withBlob,
  withoutBlob,
} from '../../../velero/domain/blob.ts'
import { BLOB_ANNOTATION, VERSION_ANNOTATION } from '../../../velero/domain/names.ts'
import { aClaim, SNAPSHOT_ID } from './support.ts'

const blob = suite('the blob annotation')

const snapshot = (change: object = {}): LooseObject => ({
  apiVersion: 'backupdriver.cnsdp.vmware.com/v1alpha1',
  kind: 'Snapshot',
  metadata: {
    name: 'snap-1',
    namespace: 'shop',
    uid: 'u-1',
    labels: { 'velero.io/backup-name': 'nightly' },
    managedFields: [{ manager: 'x' }],
  } as LooseObject['metadata'],
  spec: { backupRepository: 'br-1', resourceHandle: { kind: 'PersistentVolumeClaim', name: 'orders' } },
  status: { phase: 'Snapshotted', snapshotID: SNAPSHOT_ID, metadata: 'CgA=' },
  ...change,
})

blob('is padded base64 of the whole Snapshot, without managedFields', () => {
  const text = encodeBlob(snapshot())
  assert.is(text.length % 4, 0)
  const { metadata, spec, status } = JSON.parse(Buffer.from(text, 'base64').toString('utf8'))
  assert.is(metadata.managedFields, undefined)
  assert.equal([spec, status], [snapshot()['spec'], snapshot()['status']])
})

blob("reads the Velero Plugin for vSphere's Snapshot", () => {
  const peers = parse(readFileSync('test/fixtures/seed/snapshot.yaml', 'utf8'))
  const stored = decodeBlob(Buffer.from(JSON.stringify(peers)).toString('base64'))
  assert.is(stored.snapshotID, peers.status.snapshotID)
  assert.is(stored.metadata, peers.status.metadata)
  assert.is(stored.backupRepository, peers.spec.backupRepository)
})

blob('goes onto the stored claim beside its own annotations, without the health of a moment', () => {
  const claim = aClaim({
    annotations: {
      'volumehealth.storage.kubernetes.io/health': 'accessible',
      'volumehealth.storage.kubernetes.io/health-timestamp': 'Thu',
    },
  })
  const stored = withBlob(claim, snapshot(), '0.1.0')
  assert.equal(
    Object.keys(stored.metadata.annotations ?? {}).sort(),
    ['team', BLOB_ANNOTATION, VERSION_ANNOTATION].sort(),
  )
  assert.is(stored.metadata.annotations?.[VERSION_ANNOTATION], '0.1.0')
  assert.is(storedSnapshot(stored)?.snapshotID, SNAPSHOT_ID)
  assert.equal(withoutBlob(stored).metadata.annotations, { team: 'blue' })
  assert.is(claim.metadata.annotations['volumehealth.storage.kubernetes.io/health' as 'team'], 'accessible')
})

blob('a claim without annotations keeps none', () => {
  const { annotations, ...metadata } = aClaim().metadata
  assert.not.ok('annotations' in withoutBlob({ ...aClaim(), metadata }).metadata)
})

blob('of a snapshot that was never taken has no id', () => {
  const stored = decodeBlob(encodeBlob(snapshot({ status: { phase: 'SnapshotFailed', reason: 'DatastoreFull' } })))
  assert.equal([stored.snapshotID, stored.phase, stored.reason], [undefined, 'SnapshotFailed', 'DatastoreFull'])
})

blob('the Snapshot of another backup is recognised as such', () => {
  const stored = decodeBlob(encodeBlob(snapshot()))
  assert.ok(isBlobOf(stored, 'nightly'))
  assert.not.ok(isBlobOf(stored, 'weekly'))
})

const meta = { namespace: 'shop', name: 'snap-1' }
const BAD: [what: string, text: string][] = [
  ['nothing', ''],
  ['no base64', '%%%'],
  ['no JSON', Buffer.from('x{').toString('base64')],
  ['no object', Buffer.from('7').toString('base64')],
  ['null', Buffer.from('null').toString('base64')],
  ['another kind', encodeBlob(snapshot({ kind: 'Upload' }))],
  ['a name that leads elsewhere', encodeBlob(snapshot({ metadata: { ...meta, name: '../x' } }))],
  ['a namespace that is none', encodeBlob(snapshot({ metadata: { ...meta, namespace: 'a/b' } }))],
  ['no repository', encodeBlob(snapshot({ spec: {} }))],
  ['a repository that is no name', encodeBlob(snapshot({ spec: { backupRepository: 'a/b' } }))],
  ['an id of nothing', encodeBlob(snapshot({ status: { snapshotID: 'pvc:shop/orders' } }))],
  ['too much', 'A'.repeat(4 * 1024 * 1024 + 1)],
]
for (const [what, text] of BAD) {
  blob(`${what} is refused, and no comparison stumbles over it`, () => {
    assert.throws(() => decodeBlob(text), /cannot be used/)
    assert.is(peekBlob(aClaim({ annotations: { [BLOB_ANNOTATION]: text } })), undefined)
  })
}

blob.run()
