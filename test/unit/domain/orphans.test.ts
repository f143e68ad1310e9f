// Which disk snapshots the orphan sweep may remove. In doubt it removes none.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  candidates,
  formatLastDisks,
  inTurns,
  type ListedSnapshot,
  orphansOf,
  parseLastDisks,
  recordedDisks,
  snapshotDescription,
  snapshotUidIn,
} from '#shared/domain/orphans.ts'
import type { LooseObject } from '#test/support/loose-object.ts'

const NOW = Date.parse('2026-11-26T12:00:00Z')
const AGE_MS = 7_200_000
const DISK = '11111111-2222-4333-8444-555555555555'
const UID = 'aaaaaaaa-0000-4000-8000-000000000001'
const [FIRST, SECOND] = ['bbbbbbbb-0000-4000-8000-000000000001', 'bbbbbbbb-0000-4000-8000-000000000002']

function listed(snapshotId: string, description: string, agoMs = AGE_MS): ListedSnapshot {
  return { snapshotId, description, createdMs: NOW - agoMs }
}

function aSnapshot(phase: string, change: { uid?: string; repository?: string; names?: string } = {}): LooseObject {
  const nested = Buffer.from(`ivd:${DISK}:${change.names}`).toString('base64').replace(/=+$/, '')
  return {
    apiVersion: '',
    kind: 'Snapshot',
    metadata: { name: 's', namespace: 'shop', uid: change.uid ?? UID },
    spec: { backupRepository: change.repository ?? 'br' },
    status: { phase, ...(change.names === undefined ? {} : { snapshotID: `pvc:shop/data:${nested}` }) },
  }
}

function anUpload(phase: string, snapshotId: string): LooseObject {
  const metadata = { name: `upload-${snapshotId}`, namespace: 'velero' }
  return {
    apiVersion: '',
    kind: 'Upload',
    metadata,
    spec: { snapshotID: `ivd:${DISK}:${snapshotId}` },
    status: { phase },
  }
}

/** Ids of those that the sweep would remove from a disk with these snapshots. */
function removed(all: ListedSnapshot[], snapshots: LooseObject[] = [], uploads: LooseObject[] = []): string[] {
  const old = candidates(all, 'mine', NOW, AGE_MS)
  return orphansOf(old, all, { clusterId: 'mine', snapshots, uploads }).map(({ snapshotId }) => snapshotId)
}

const mine = (id: string, agoMs?: number) => listed(id, snapshotDescription('mine', UID), agoMs)

test('one whose Snapshot is gone or over is an orphan, one whose Snapshot is not over is owned', () => {
  assert.equal(removed([mine(FIRST)]), [FIRST])
  assert.equal(removed([mine(FIRST)], [aSnapshot('Uploaded')]), [FIRST])
  assert.equal(removed([mine(FIRST)], [aSnapshot('Canceled')]), [FIRST])
  for (const phase of ['New', 'Snapshotted', 'Uploading', 'UploadFailed', 'CleanupAfterUploadFailed', 'Canceling'])
    assert.equal(removed([mine(FIRST)], [aSnapshot(phase)]), [], phase)
  assert.equal(removed([mine(FIRST)], [aSnapshot('New', { uid: 'another' })]), [FIRST])
})

test('only what is older than the longest task, to the millisecond', () => {
  assert.equal(removed([mine(FIRST, AGE_MS - 1)]), [])
  assert.equal(removed([mine(FIRST, AGE_MS)]), [FIRST])
})

test('names of other clusters and of other programs are never touched', () => {
  const strangers = [
    `dormouse/other/${UID}`,
    `dormouse/mine2/${UID}`,
    'dormouse/mine',
    'dormouse/mine/',
    'velero/mine/x',
    '',
  ]
  assert.equal(removed(strangers.map((description) => listed(FIRST, description))), [])
})

test('a backup that is kept in vCenter is never an orphan, whatever became of its Snapshot', () => {
  const kept = listed(FIRST, snapshotDescription('mine', UID, true))
  assert.is(kept.description, `dormouse/mine/${UID}/keep`)
  assert.equal(removed([kept]), [])
  assert.equal(removed([kept], [aSnapshot('SnapshotFailed')]), [])
  assert.equal(
    removed([mine(FIRST)], [aSnapshot('Snapshotted', { repository: '' })]),
    [],
    'named before there was /keep',
  )
})

test('an Upload that is not over owns what it names, also when its Snapshot is gone', () => {
  assert.equal(removed([mine(FIRST)], [], [anUpload('UploadError', FIRST)]), [])
  assert.equal(removed([mine(FIRST)], [], [anUpload('Completed', FIRST)]), [FIRST])
  assert.equal(removed([mine(FIRST)], [], [anUpload('InProgress', SECOND)]), [FIRST])
})

test('of doubles the one that the status names stays, else the oldest', () => {
  const doubles = [mine(FIRST, AGE_MS + 2), mine(SECOND, AGE_MS + 1)]
  assert.equal(removed(doubles, [aSnapshot('New')]), [SECOND])
  assert.equal(removed(doubles, [aSnapshot('Uploading', { names: SECOND })]), [FIRST])
  const young = [mine(FIRST, AGE_MS), mine(SECOND, 1)]
  assert.equal(removed(young, [aSnapshot('Uploading', { names: SECOND })]), [FIRST], 'the winner may be young')
})

test('recorded disks are those of our driver and of our objects, each once, and nothing that is no id', () => {
  const pv = (driver: string, volumeHandle: string): LooseObject => ({
    apiVersion: 'v1',
    kind: 'PersistentVolume',
    metadata: { name: 'pv' },
    spec: { csi: { driver, volumeHandle } },
  })
  const other = '99999999-2222-4333-8444-555555555555'
  const volumes = [
    pv('csi.vsphere.vmware.com', DISK),
    pv('csi.vsphere.vmware.com', 'file:x'),
    pv('ebs.csi.aws.com', 'aaaa'),
  ]
  const objects = [
    anUpload('New', FIRST),
    { ...aSnapshot('New'), status: { volumeID: `ivd:${other}`, snapshotID: '\0' } },
  ]
  assert.equal(recordedDisks(volumes, objects), { ofVolumes: [DISK], named: [other] })
})

test("the volumes' disks have four turns of five: what users write into their objects keeps the look from none of them", () => {
  const csi = { driver: 'csi.vsphere.vmware.com', volumeHandle: DISK }
  const volume: LooseObject = { apiVersion: 'v1', kind: 'PersistentVolume', metadata: { name: 'pv' }, spec: { csi } }
  const forged = ['00000000-0000-4000-8000-000000000000', '00000000-0000-4000-8000-000000000001']
  const objects = forged.map((fcdId) => ({ ...aSnapshot('New'), status: { volumeID: `ivd:${fcdId}` } }))
  const recorded = recordedDisks([volume], objects)
  assert.equal(recorded, { ofVolumes: [DISK], named: forged })
  const many = { ofVolumes: ['a', 'b', 'c', 'd', 'e', 'f'], named: ['v', 'x', 'y', 'z'] }
  assert.equal(inTurns(many, parseLastDisks(undefined)).join(''), 'abcdvefxyz')
  assert.equal(inTurns(many, parseLastDisks(formatLastDisks({ ofVolumes: 'b', named: 'z' }))).join(''), 'cdefvabxyz')
  assert.equal(inTurns(many, parseLastDisks('\u0000 nonsense  x')).join(''), 'abcdvefxyz')
})

test("the UID in a name is read for this cluster's names only, with or without /keep", () => {
  assert.is(snapshotUidIn(snapshotDescription('mine', UID), 'mine'), UID)
  assert.is(snapshotUidIn(snapshotDescription('mine', UID, true), 'mine'), UID)
  const others = [
    undefined,
    '',
    'dormouse/mine/',
    'dormouse/mine//keep',
    `dormouse/mine/${UID}/keep/keep`,
    `dormouse/mine/${UID}/x`,
  ]
  for (const description of [...others, snapshotDescription('mine2', UID), snapshotDescription('other/mine', UID)])
    assert.is(snapshotUidIn(description, 'mine'), undefined, description)
})

test.run()
