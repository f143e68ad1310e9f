// Which records are removed, and which deletions are released, checked at the exact boundary.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { KINDS, type KindName } from '#shared/api/kinds.ts'
import { decideRecord, isDeletionOverdue } from '#shared/domain/retention.ts'
import type { LooseObject } from '#test/support/loose-object.ts'

const NOW = Date.parse('2026-11-26T12:00:00Z')
const DAY_MS = 86_400_000
const at = (ms: number) => new Date(NOW + ms).toISOString()

/** An ended record; `endedAgoMs` undefined: its status does not say when it ended. */
function aRecord(kind: KindName, phase: string, endedAgoMs: number | undefined, change: object = {}): LooseObject {
  return {
    apiVersion: KINDS[kind].apiVersion,
    kind,
    metadata: { name: 'r', namespace: 'shop', uid: 'u', labels: { 'dormouse.dev/step': 'done' }, ...change },
    spec: { backupRepository: 'br' },
    status: { phase, ...(endedAgoMs === undefined ? {} : { completionTimestamp: at(-endedAgoMs) }) },
  }
}

const decide = (object: LooseObject, owner?: LooseObject, retentionMs = DAY_MS) =>
  decideRecord(object, owner, NOW, retentionMs).kind

const ENDS: [kind: KindName, phase: string][] = [
  ['Snapshot', 'Uploaded'],
  ['Snapshot', 'SnapshotFailed'],
  ['Snapshot', 'UploadFailedAfterRetry'],
  ['Snapshot', 'Canceled'],
  ['Upload', 'Completed'],
  ['Upload', 'UploadFailedAfterRetry'],
  ['Upload', 'Canceled'],
  ['Download', 'Completed'],
  ['Download', 'Failed'],
  ['CloneFromSnapshot', 'Completed'],
  ['CloneFromSnapshot', 'Failed'],
  ['CloneFromSnapshot', 'Canceled'],
  ['DeleteSnapshot', 'Completed'],
  ['DeleteSnapshot', 'Failed'],
]
for (const [kind, phase] of ENDS) {
  test(`a ${kind} that ended as ${phase} is collected a day later, to the millisecond`, () => {
    assert.is(decide(aRecord(kind, phase, DAY_MS)), 'keep')
    assert.is(decide(aRecord(kind, phase, DAY_MS + 1)), 'collect')
  })
}

test('what is not over is never collected, however old it is', () => {
  const unfinished: [kind: KindName, phase: string][] = [
    ['Upload', 'CleanupFailed'],
    ['Snapshot', 'Uploading'],
    ['Snapshot', 'Snapshotted'],
    ['Download', 'Retry'],
    ['DeleteSnapshot', 'InProgress'],
  ]
  for (const [kind, phase] of unfinished)
    assert.is(decide(aRecord(kind, phase, 9 * DAY_MS)), 'keep', `${kind} ${phase}`)
  const unlabelled = aRecord('Upload', 'Completed', 9 * DAY_MS, { labels: { 'dormouse.dev/step': 'upload' } })
  assert.is(decide(unlabelled), 'keep', 'its function has not settled it yet')
})

test('a record with a finalizer, or one that is being deleted, is left alone', () => {
  assert.is(decide(aRecord('Upload', 'Completed', 9 * DAY_MS, { finalizers: ['dormouse.dev/object'] })), 'keep')
  const step = { 'dormouse.dev/step': 'done' }
  assert.is(decide(aRecord('Upload', 'Completed', 9 * DAY_MS, { labels: step, deletionTimestamp: at(0) })), 'keep')
})

test('the Snapshot of a backup that is kept in vCenter stays, a failed one of local mode does not', () => {
  const local: LooseObject = { ...aRecord('Snapshot', 'Snapshotted', 9 * DAY_MS), spec: { backupRepository: '' } }
  assert.is(decide(local), 'keep')
  assert.is(decide({ ...local, status: { ...local['status'], phase: 'SnapshotFailed' } }), 'collect')
})

test('a transfer stays as long as its owner has not seen its end', () => {
  const upload = aRecord('Upload', 'Completed', 9 * DAY_MS)
  assert.is(decide(upload, aRecord('Snapshot', 'Uploading', undefined)), 'keep')
  assert.is(decide(upload, aRecord('Snapshot', 'Uploaded', undefined)), 'collect')
  assert.is(decide(aRecord('Download', 'Failed', 9 * DAY_MS), aRecord('CloneFromSnapshot', 'InProgress', 0)), 'keep')
})

test('a record that does not say when it ended is stamped first', () => {
  assert.is(decide(aRecord('CloneFromSnapshot', 'Failed', undefined)), 'stamp')
  const nonsense = aRecord('Upload', 'Canceled', undefined)
  assert.is(decide({ ...nonsense, status: { phase: 'Canceled', completionTimestamp: 'yesterday' } }), 'stamp')
})

test('a record that ended in more than a day, by a clock that was ahead, is stamped anew: it is not kept for as long as the clocks differ', () => {
  assert.is(decide(aRecord('Upload', 'Completed', -DAY_MS)), 'keep')
  assert.is(decide(aRecord('Upload', 'Completed', -DAY_MS - 1)), 'stamp')
})

test('no retention keeps records for ever, and claims of repositories are no records', () => {
  assert.is(decide(aRecord('Upload', 'Completed', 9 * DAY_MS), undefined, 0), 'keep')
  assert.is(decide(aRecord('BackupRepositoryClaim', '', 9 * DAY_MS)), 'keep')
})

test('a deletion is released at its deadline, unless a function works on it or no finalizer holds it', () => {
  const deleted = (agoMs: number, finalizers = ['dormouse.dev/object']) =>
    aRecord('Snapshot', 'Canceling', undefined, { deletionTimestamp: at(-agoMs), finalizers })
  assert.is(isDeletionOverdue(deleted(DAY_MS), undefined, NOW, DAY_MS), false)
  assert.is(isDeletionOverdue(deleted(DAY_MS + 1), undefined, NOW, DAY_MS), true)
  assert.is(isDeletionOverdue(deleted(DAY_MS + 1, ['someone.else/x']), undefined, NOW, DAY_MS), false)
  assert.is(isDeletionOverdue(aRecord('Snapshot', 'Canceling', undefined), undefined, NOW, DAY_MS), false)
  const spec = { holderIdentity: 'x', leaseDurationSeconds: 30, renewTime: at(-10) }
  const lease: LooseObject = { apiVersion: '', kind: 'Lease', metadata: { name: 'l' }, spec }
  assert.is(isDeletionOverdue(deleted(DAY_MS + 1), lease, NOW, DAY_MS), false)
})

test('a deletion that was asked for in more than a day, by a clock that was ahead, is let go', () => {
  const deleted = (aheadMs: number) =>
    aRecord('Snapshot', 'Canceling', undefined, { deletionTimestamp: at(aheadMs), finalizers: ['dormouse.dev/object'] })
  assert.is(isDeletionOverdue(deleted(DAY_MS), undefined, NOW, DAY_MS), false)
  assert.is(isDeletionOverdue(deleted(DAY_MS + 1), undefined, NOW, DAY_MS), true)
})

test.run()
