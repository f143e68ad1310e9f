// A status that a user writes by hand makes no work look finished that is not, and gives Kubernetes no invalid name.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { decideClone, seeClone } from '#shared/domain/clone.ts'
import { decideDownload, seeDownload } from '#shared/domain/download.ts'
import { glance } from '#shared/domain/glance.ts'
import { formatClaimSnapshotId } from '#shared/domain/ids.ts'
import { leaseName } from '#shared/domain/lease.ts'
import { stepOfSnapshot } from '#shared/domain/snapshot.ts'
import { formatHandOver } from '#shared/domain/staged-volume.ts'
import { decideWake } from '#shared/domain/sweep.ts'
import { seeUpload } from '#shared/domain/upload.ts'
import type { LooseObject } from '#test/support/loose-object.ts'

const test = suite('written by hand')

const ID = formatClaimSnapshotId({ namespace: 'shop', claim: 'orders', disk: { fcdId: 'a1', snapshotId: 'b2' } })
const anObject = (kind: string, status: object, metadata: object = {}): LooseObject => ({
  apiVersion: 'v1',
  kind,
  metadata: { name: 'x', namespace: 'shop', uid: 'u-1', ...metadata },
  spec: { backupRepository: 'br' },
  status,
})

test('a Snapshot whose phase has no disk snapshot behind it begins anew; an end stays an end', () => {
  for (const phase of ['Snapshotted', 'Uploading', 'UploadFailed', 'CleanupAfterUploadFailed', 'Canceling']) {
    for (const snapshotID of [undefined, '', 'nonsense', 7])
      assert.is(stepOfSnapshot(anObject('Snapshot', { phase, snapshotID })).kind, 'snapshot', phase)
    assert.is(stepOfSnapshot(anObject('Snapshot', { phase, snapshotID: ID })).kind, 'follow')
  }
  const deleted = anObject('Snapshot', { phase: 'Uploading' }, { deletionTimestamp: 'now' })
  assert.is(stepOfSnapshot(deleted).kind, 'cancel')
  for (const phase of ['SnapshotFailed', 'Uploaded', 'Canceled', 'UploadFailedAfterRetry'])
    assert.is(stepOfSnapshot(anObject('Snapshot', { phase })).kind, 'nothing')
})

test("a Completed Upload without a root is not over, but the Velero Plugin for vSphere's own is", () => {
  assert.is(seeUpload(anObject('Upload', { phase: 'Completed', session: 's' })).phase, 'InProgress')
  assert.is(seeUpload(anObject('Upload', { phase: 'Completed', session: 's', root: 'roots/s' })).phase, 'Completed')
  assert.is(seeUpload(anObject('Upload', { phase: 'Completed' })).phase, 'Completed')
})

test('a Download of a staged disk that says Completed and has no condition hands nothing over', () => {
  const ours = { annotations: { 'dormouse.dev/staged': 'true' } }
  const conditions = [
    { type: 'Downloaded', status: 'True', reason: 'DataWritten', message: '', lastTransitionTime: '' },
  ]
  const clone = anObject('CloneFromSnapshot', { phase: 'InProgress', volumeName: 'pv-1' })
  const named = { ...ours, name: 'download-b2-u-1', namespace: 'velero' }
  const spec = { clonefromSnapshotReference: 'shop/x' }
  const made = { ...anObject('Download', { phase: 'Completed' }, named), spec }
  assert.is(seeDownload(made).phase, 'InProgress')
  assert.is(decideClone(seeClone(clone, made)).kind, 'awaitDownload')
  const whole = { ...anObject('Download', { phase: 'Completed', conditions }, named), spec }
  assert.is(seeDownload(whole).phase, 'Completed')
  assert.is(decideClone(seeClone(clone, whole)).kind, 'handOver')
  assert.is(
    seeDownload(anObject('Download', { phase: 'Completed' })).phase,
    'Completed',
    "the Velero Plugin for vSphere's own",
  )
})

test("another clone's Download says nothing about this one, whatever its status names", () => {
  const clone = anObject('CloneFromSnapshot', { phase: 'InProgress', downloadName: 'download-b2-u-2' })
  const spec = { clonefromSnapshotReference: 'shop/x' }
  const whole = { ...anObject('Download', { phase: 'Completed' }, { name: 'download-b2-u-1' }), spec }
  assert.is(decideClone(seeClone(clone, whole)).kind, 'handOver')
  const others = [
    { ...whole, metadata: { ...whole.metadata, name: 'download-b2-u-2' } },
    { ...whole, spec: { clonefromSnapshotReference: 'bank/x' } },
    { ...whole, spec: {} },
  ]
  for (const other of others) assert.is(decideClone(seeClone(clone, other)).kind, 'provision')
})

test('a Download of a staged disk whose clone was torn out stops; one without a clone goes on', () => {
  const ours = anObject('Download', { phase: 'InProgress' }, { annotations: { 'dormouse.dev/staged': 'true' } })
  const theirs = anObject('Download', { phase: 'InProgress' })
  assert.is(decideDownload(seeDownload(ours), 0).kind, 'transfer', 'nobody looked')
  assert.is(decideDownload(seeDownload(ours, 'gone'), 0).kind, 'cancel')
  assert.is(decideDownload(seeDownload(theirs, 'gone'), 0).kind, 'transfer')
  const around = {
    nowMs: 0,
    graceMs: 1000,
    backoffUnitMs: 60_000,
    lease: undefined,
    upload: undefined,
    download: undefined,
    owner: undefined,
  }
  const waiting = (object: LooseObject) => ({
    ...object,
    metadata: { ...object.metadata, labels: { 'dormouse.dev/step': 'waiting' } },
  })
  assert.is(decideWake(waiting(ours), around).wake, true)
  assert.is(decideWake(waiting(theirs), around).wake, false)
})

test('a clone whose Download was torn out is woken, and makes it anew', () => {
  const status = { phase: 'InProgress', volumeName: 'pv-1', downloadName: 'd' }
  const clone = anObject('CloneFromSnapshot', status, { labels: { 'dormouse.dev/step': 'waiting' } })
  const around = { nowMs: 0, graceMs: 1000, backoffUnitMs: 60_000, lease: undefined, upload: undefined }
  assert.is(decideWake(clone, { ...around, download: undefined }).wake, true)
  assert.is(decideClone(seeClone(clone, undefined)).kind, 'provision')
  assert.is(decideWake(clone, { ...around, download: anObject('Download', { phase: 'InProgress' }) }).wake, false)
})

test('a clone whose volume changes hands is woken whatever its phase says, and only by its own Download', () => {
  const annotations = { 'dormouse.dev/hand-over': formatHandOver({ target: 'data' }) }
  const spec = { clonefromSnapshotReference: 'shop/x' }
  const handsOver = { ...anObject('Download', { phase: 'Completed' }, { name: 'download-b2-u-1', annotations }), spec }
  const around = { nowMs: 60_000, graceMs: 1000, backoffUnitMs: 60_000, lease: undefined, upload: undefined }
  for (const step of ['done', 'waiting', 'queued', 'clone'])
    for (const phase of ['Completed', 'Failed', 'Canceled']) {
      const clone = anObject('CloneFromSnapshot', { phase }, { labels: { 'dormouse.dev/step': step } })
      assert.is(
        decideWake(clone, { ...around, download: glance('Download', handsOver) }).wake,
        true,
        `${phase} ${step}`,
      )
      if (step !== 'done') continue
      const others = [
        undefined,
        { ...handsOver, metadata: { ...handsOver.metadata, annotations: {} } },
        { ...handsOver, metadata: { ...handsOver.metadata, name: 'download-b2-u-2' } },
        { ...handsOver, spec: { clonefromSnapshotReference: 'bank/x' } },
      ]
      for (const download of others) assert.is(decideWake(clone, { ...around, download }).wake, false)
    }
})

test("a Lease's name is never longer than Kubernetes takes", () => {
  assert.is(leaseName(anObject('Upload', {}, { name: 'upload-1' })), 'upload-lease.upload-1')
  for (const kind of ['Upload', 'Download', 'Snapshot', 'CloneFromSnapshot']) {
    const name = leaseName(anObject(kind, {}, { name: 'a'.repeat(253) }))
    assert.is(name, `${kind.toLowerCase()}-lease.u-1`)
  }
})

test.run()
