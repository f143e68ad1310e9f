// What a restore does with a stored claim, as tables.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { CLONE_FROM_SNAPSHOT_PHASES } from '#shared/api/types.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { decodeBlob, encodeBlob, withBlob } from '../../../velero/domain/blob.ts'
import { restoreState } from '../../../velero/domain/operation.ts'
import {
  decideRestore,
  mappedClass,
  type RestoreSeen,
  targetNamespace,
  waitingClaim,
} from '../../../velero/domain/restore.ts'
import { aClaim, aConfigMap, aRestore, aStoredSnapshot, NOW_MS, SNAPSHOT_ID } from './support.ts'

const restore = suite('what becomes of a stored claim')

const storedWith = (status: object) => decodeBlob(encodeBlob(aStoredSnapshot(status)))
const whole = { phase: 'Uploaded', snapshotID: SNAPSHOT_ID, metadata: 'CgA=' }
const seen = (change: Partial<RestoreSeen> = {}): RestoreSeen => ({
  stored: storedWith(whole),
  restore: aRestore(),
  backupLabel: 'nightly',
  targetExists: false,
  ...change,
})

const TABLE: [what: string, change: Partial<RestoreSeen>, kind: string, reason?: string][] = [
  ['a whole backup', {}, 'restore'],
  ['one that was stored on its way', { stored: storedWith({ ...whole, phase: 'Uploading' }) }, 'restore'],
  [
    'one whose first attempt had failed by then',
    { stored: storedWith({ ...whole, phase: 'UploadFailed' }) },
    'restore',
  ],
  [
    "the Velero Plugin for vSphere's, stored with the disk snapshot",
    { stored: storedWith({ ...whole, phase: 'Snapshotted' }) },
    'restore',
  ],
  ['no snapshot', { stored: undefined }, 'leave', 'NoSnapshotStored'],
  ['a snapshot of another backup', { backupLabel: 'weekly' }, 'leave', 'NoSnapshotStored'],
  ['restorePVs: false', { restore: aRestore({ restorePVs: false }) }, 'leave', 'VolumesNotRestored'],
  ['restorePVs: true', { restore: aRestore({ restorePVs: true }) }, 'restore'],
  ['a claim that exists', { targetExists: true }, 'beside', 'TargetExists'],
  [
    'an upload that failed',
    { stored: storedWith({ ...whole, phase: 'UploadFailedAfterRetry' }) },
    'fail',
    'BackupIncomplete',
  ],
  ['a cancelled backup', { stored: storedWith({ ...whole, phase: 'Canceled' }) }, 'fail', 'BackupIncomplete'],
  ['a failed disk snapshot', { stored: storedWith({ phase: 'SnapshotFailed' }) }, 'fail', 'BackupIncomplete'],
  ['no id', { stored: storedWith({ phase: 'New', metadata: 'CgA=' }) }, 'fail', 'BackupIncomplete'],
  ['no metadata', { stored: storedWith({ phase: 'Uploaded', snapshotID: SNAPSHOT_ID }) }, 'fail', 'BackupIncomplete'],
]
for (const [what, change, kind, reason] of TABLE) {
  restore(`${what}: ${kind}`, () => {
    const decision = decideRestore(seen(change))
    assert.is(decision.kind, kind)
    assert.is('reason' in decision ? decision.reason : undefined, reason)
  })
}

restore('restorePVs: false goes before a claim that exists and before a backup that failed', () => {
  const change = { restore: aRestore({ restorePVs: false }), targetExists: true }
  assert.is(decideRestore(seen({ ...change, stored: storedWith({ phase: 'Canceled' }) })).kind, 'leave')
})

restore('an incomplete backup tells the reason that it was stored with', () => {
  const stored = storedWith({ phase: 'SnapshotFailed', reason: 'DatastoreFull', message: 'no room' })
  const decision = decideRestore(seen({ stored }))
  assert.match(
    'message' in decision ? decision.message : '',
    'SnapshotFailed when the backup ended: DatastoreFull: no room',
  )
})

restore('the message of an incomplete backup is one line of a bounded length, whoever wrote it', () => {
  const message = `no room\n    at f (file:///a%2Fb:1:1)\n${'x'.repeat(1 << 20)}`
  for (const written of [{ phase: 'SnapshotFailed', message }, { phase: message }]) {
    const decision = decideRestore(seen({ stored: storedWith(written) }))
    const told = 'message' in decision ? decision.message : ''
    assert.match(told, 'no room at f')
    assert.ok(told.length < 4096 && !told.includes('\n'), `${told.length} characters`)
  }
})

restore('namespaces are mapped, and only to names', () => {
  const mapped = aRestore({ namespaceMapping: { shop: 'copy', odd: 'a/b' } })
  assert.is(targetNamespace(mapped, 'shop'), 'copy')
  assert.is(targetNamespace(mapped, 'other'), 'other')
  assert.is(targetNamespace(aRestore(), 'shop'), 'shop')
  assert.is(targetNamespace(mapped, 'constructor'), 'constructor')
  for (const bad of ['odd', '', 'A']) assert.throws(() => targetNamespace(mapped, bad), /namespace/)
})

restore('classes are mapped by one ConfigMap, the missing class by its own key', () => {
  const map = aConfigMap('a', { slow: 'fast', 'com.vmware.cnsdp.emptystorageclass': 'plain', odd: 'A b' })
  assert.is(mappedClass([map], 'slow'), 'fast')
  for (const none of [undefined, '']) assert.is(mappedClass([map], none), 'plain')
  assert.is(mappedClass([map], 'fast'), undefined)
  assert.is(mappedClass([map], 'toString'), undefined)
  assert.is(mappedClass([], 'slow'), undefined)
  assert.throws(() => mappedClass([map], 'odd'), /no name/)
  assert.throws(() => mappedClass([map, aConfigMap('b', {})], 'slow'), /a, b: keep one/)
})

restore('the claim waits for the new volume, keeps what is its own and drops what bound it', () => {
  const annotations = {
    'pv.kubernetes.io/bind-completed': 'yes',
    'volume.kubernetes.io/selected-node': 'node-1',
    'volumehealth.storage.kubernetes.io/health': 'accessible',
  }
  const item = withBlob(aClaim({ annotations }), aStoredSnapshot(whole), '0.1.0')
  item['spec'] = { ...item['spec'], selector: {}, dataSource: {}, dataSourceRef: {}, resources: { requests: {} } }
  const clone: LooseObject = {
    apiVersion: 'v1',
    kind: 'CloneFromSnapshot',
    metadata: { name: 'c', namespace: 'copy', uid: 'u1' },
  }
  const claim = waitingClaim(item, { volumeName: 'dormouse-1', className: 'slow', clone })
  assert.equal(claim.metadata.annotations, { team: 'blue', 'dormouse.dev/clone': 'copy/c' })
  assert.is(claim.metadata.labels?.['dormouse.dev/clone-uid'], 'u1')
  assert.equal(claim['spec'], { storageClassName: 'slow', volumeName: 'dormouse-1', resources: { requests: {} } })
  assert.is(
    waitingClaim(item, { volumeName: 'dormouse-1', className: undefined, clone })['spec'].storageClassName,
    'fast',
  )
})

restore('an operation is over when its clone is', () => {
  const ends: Record<string, boolean> = { Completed: true, Failed: false, Canceled: false }
  for (const phase of CLONE_FROM_SNAPSHOT_PHASES) {
    const progress = { totalBytes: 10, bytesDone: 4 }
    const status = { phase, reason: 'TargetExists', message: 'it is there', progress }
    const clone: LooseObject = {
      apiVersion: 'v1',
      kind: 'CloneFromSnapshot',
      metadata: { name: 'c', namespace: 'shop' },
      status,
    }
    const shown = restoreState(clone, NOW_MS)
    assert.is(shown.completed, phase in ends, phase)
    assert.is(shown.completed && shown.error === '', ends[phase] === true, phase)
    assert.equal([shown.nCompleted, shown.nTotal], [phase === 'Completed' ? 10 : 4, 10], phase)
  }
})

restore.run()
