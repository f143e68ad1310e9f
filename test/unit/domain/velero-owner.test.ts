// Which Backup or Restore an object was made for, and which phases of Velero end that work.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { formatClaimSnapshotId } from '#shared/domain/ids.ts'
import {
  fateOf,
  isAwaited,
  isOrphanedBackup,
  mayStillBeRead,
  veleroOwnerOf,
  whyAbandoned,
} from '#shared/domain/velero-owner.ts'
import type { LooseObject } from '#test/support/loose-object.ts'

const requesters = suite('requesters')

const SNAPSHOT_ID = formatClaimSnapshotId({
  namespace: 'shop',
  claim: 'data',
  disk: { fcdId: 'aa', snapshotId: 'bb' },
})

function anObject(kind: string, marks: object = {}, more: object = {}): LooseObject {
  const marked = { labels: {}, annotations: {}, ...marks }
  return { apiVersion: '', kind, metadata: { name: 'x', namespace: 'shop', ...marked }, spec: {}, ...more }
}

const OF_BACKUP = {
  labels: { 'velero.io/backup-uid': 'u-1' },
  annotations: { 'dormouse.dev/velero-backup': 'nightly' },
}
const OF_RESTORE = {
  labels: { 'velero.io/restore-uid': 'u-1' },
  annotations: { 'dormouse.dev/velero-restore': 'again' },
}

requesters('a Snapshot is asked for by a Backup, a CloneFromSnapshot by a Restore, by name and UID', () => {
  assert.equal(veleroOwnerOf(anObject('Snapshot', OF_BACKUP)), { kind: 'Backup', name: 'nightly', uid: 'u-1' })
  assert.equal(veleroOwnerOf(anObject('CloneFromSnapshot', OF_RESTORE)), { kind: 'Restore', name: 'again', uid: 'u-1' })
})

requesters('an object that lacks one of them, names no object, or has another kind has no requester', () => {
  const { labels, annotations } = OF_BACKUP
  for (const marks of [{}, { labels }, { annotations }, { labels: { 'velero.io/backup-uid': '' }, annotations }])
    assert.is(veleroOwnerOf(anObject('Snapshot', marks)), undefined)
  for (const name of ['', '../x', 'A', 'a'.repeat(254)])
    assert.is(
      veleroOwnerOf(anObject('Snapshot', { labels, annotations: { 'dormouse.dev/velero-backup': name } })),
      undefined,
    )
  assert.is(veleroOwnerOf(anObject('Snapshot', OF_RESTORE)), undefined)
  assert.is(veleroOwnerOf(anObject('CloneFromSnapshot', OF_BACKUP)), undefined)
  assert.is(veleroOwnerOf(anObject('Upload', OF_BACKUP)), undefined)
})

const NIGHTLY = { kind: 'Backup', name: 'nightly', uid: 'u-1' } as const
const inPhase = (phase: string | undefined, change: object = {}) =>
  anObject('Backup', { uid: 'u-1', ...change }, { status: { phase } })

const FATES = {
  open: [
    undefined,
    'New',
    'Queued',
    'ReadyToStart',
    'InProgress',
    'WaitingForPluginOperations',
    'WaitingForPluginOperationsPartiallyFailed',
    'Finalizing',
    'FinalizingPartiallyFailed',
    'a phase of times to come',
  ],
  ended: ['Completed', 'PartiallyFailed'],
  failed: ['Failed', 'FailedValidation'],
  lost: ['Deleting'],
}
requesters('each phase of a Backup has its meaning, and an unknown phase is no end', () => {
  for (const [kind, phases] of Object.entries(FATES))
    for (const phase of phases) assert.is(fateOf(inPhase(phase), NIGHTLY).kind, kind, phase)
})

requesters('a run that is gone, being deleted, or replaced by another of its name waits no more', () => {
  assert.equal(fateOf(undefined, NIGHTLY), { kind: 'lost', why: 'is gone' })
  assert.is(fateOf(inPhase('InProgress', { uid: 'u-2' }), NIGHTLY).kind, 'lost')
  assert.is(fateOf(inPhase('InProgress', { deletionTimestamp: 'now' }), NIGHTLY).kind, 'lost')
})

const marked = (mark: string, phase: string, spec: object = { backupRepository: 'br-1' }) =>
  anObject(
    'Snapshot',
    { annotations: { 'dormouse.dev/velero-operation': mark } },
    { spec, status: { phase, snapshotID: SNAPSHOT_ID } },
  )

requesters('unfinished work is abandoned when its run has failed, is gone, or has ended', () => {
  assert.is(whyAbandoned({ kind: 'ended' }), 'has ended without it')
  for (const kind of ['open', 'unknown'] as const) assert.is(whyAbandoned({ kind }), undefined, kind)
  for (const kind of ['lost', 'failed'] as const) assert.is(whyAbandoned({ kind, why: 'is gone' }), 'is gone', kind)
})

requesters('data is removed when it is whole, and its Backup is there to say that it does not hold it', () => {
  const ofNobody = (mark: string, phase: string, kind: string, spec?: object) =>
    isOrphanedBackup(marked(mark, phase, spec), { kind, why: '' } as never)
  for (const kind of ['ended', 'failed']) {
    assert.is(ofNobody('requested', 'Uploaded', kind), true, kind)
    assert.is(ofNobody('requested', 'Snapshotted', kind, { backupRepository: '' }), true, 'local mode')
    for (const mark of ['known', 'removed', '']) assert.is(ofNobody(mark, 'Uploaded', kind), false, mark)
    for (const phase of ['Uploading', 'Canceled', 'Snapshotted', 'UploadFailedAfterRetry'])
      assert.is(ofNobody('requested', phase, kind), false, phase)
  }
  for (const kind of ['open', 'unknown', 'lost']) assert.is(ofNobody('requested', 'Uploaded', kind), false, kind)
})

requesters('records are read until the end; what is not known keeps them', () => {
  const kept = ['open', 'unknown', 'ended', 'failed'].map((kind) => mayStillBeRead({ kind } as never))
  assert.equal([...kept, mayStillBeRead({ kind: 'lost', why: 'is gone' })], [true, true, false, false, false])
})

requesters('work that is over, or was told to stop, is not abandoned', () => {
  const snapshot = (phase: string, spec: object = {}) => anObject('Snapshot', OF_BACKUP, { spec, status: { phase } })
  const upload = (phase: string) => anObject('Upload', {}, { status: { phase } })
  assert.is(isAwaited(snapshot('Uploading'), undefined), true)
  assert.is(isAwaited(snapshot('Uploading'), upload('InProgress')), true)
  assert.is(isAwaited(snapshot('Uploading'), upload('Completed')), false, 'it only does not say so yet')
  const named = anObject('Snapshot', OF_BACKUP, { status: { phase: 'Uploading', uploadName: 'upload-1' } })
  assert.is(isAwaited(named, undefined), false, 'its Upload is gone: perhaps it was whole')
  assert.is(isAwaited(named, upload('InProgress')), true)
  assert.is(isAwaited(snapshot('Uploading', { snapshotCancel: true }), undefined), false)
  assert.is(isAwaited(snapshot('Uploaded'), undefined), false)
  assert.is(
    isAwaited(snapshot('Snapshotted', { backupRepository: '' }), undefined),
    false,
    'local mode: it is the backup',
  )
})

requesters.run()
