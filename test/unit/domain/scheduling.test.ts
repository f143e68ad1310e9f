// Which object is due, which waits, which gets a slot, and which lease is held.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { STEPPED_KINDS } from '#shared/api/kinds.ts'
import type { PersistentVolumeClaim } from '#shared/api/types.ts'
import { setCondition } from '#shared/domain/conditions.ts'
import { leaseName, leaseState } from '#shared/domain/lease.ts'
import { progressView, sizeText } from '#shared/domain/progress.ts'
import { decideSlot, oldestFirst, slotHolder } from '#shared/domain/slots.ts'
import { restoredClaim, stagingClaim } from '#shared/domain/staging.ts'
import { decideWake, keepsSlot, type Surroundings } from '#shared/domain/sweep.ts'
import { uploadBackoffUnits } from '#shared/domain/upload.ts'
import { requireBoundClaim, requireClaimHandle, requireDisk, requireVolume } from '#shared/domain/volume.ts'
import { TerminalError } from '#shared/kernel/errors.ts'
import type { LooseObject } from '#test/support/loose-object.ts'

const NOW = Date.parse('2026-11-21T12:00:00Z')
const at = (seconds: number) => new Date(NOW + seconds * 1000).toISOString()

function anUpload(
  step?: string,
  change: { due?: string; status?: object; uid?: string; created?: string } = {},
): LooseObject {
  return {
    apiVersion: 'datamover.cnsdp.vmware.com/v1alpha1',
    kind: 'Upload',
    metadata: {
      name: `upload-${change.uid ?? 'a'}`,
      namespace: 'velero',
      uid: change.uid ?? 'a',
      creationTimestamp: change.created ?? at(-3600),
      labels: step === undefined ? {} : { 'dormouse.dev/step': step },
      annotations: change.due === undefined ? {} : { 'dormouse.dev/due': change.due },
    },
    spec: {},
    status: { phase: 'InProgress', ...change.status },
  }
}

const calm: Surroundings = {
  nowMs: NOW,
  graceMs: 30_000,
  backoffUnitMs: 60_000,
  lease: undefined,
  upload: undefined,
  download: undefined,
}
const heldLease: LooseObject = {
  apiVersion: '',
  kind: 'Lease',
  metadata: { name: 'l' },
  spec: { holderIdentity: 'x', leaseDurationSeconds: 30, renewTime: at(-10) },
}

test('an object is left alone until its event had time to arrive, to the boundary', () => {
  assert.is(decideWake(anUpload('upload', { due: at(-29.999) }), calm).wake, false)
  assert.equal(decideWake(anUpload('upload', { due: at(-30) }), calm), {
    wake: true,
    cause: 'rescue',
    why: 'no event arrived',
  })
  assert.is(decideWake(anUpload('upload', { due: at(3600) }), calm).wake, true, 'the clock that said so was ahead')
  assert.is(decideWake(anUpload(undefined), calm).wake, true, 'no label yet: due since its creation')
})

test('a queued object and one with a live lease are never woken', () => {
  assert.is(decideWake(anUpload('queued'), calm).wake, false)
  assert.is(decideWake(anUpload('upload'), { ...calm, lease: heldLease }).wake, false)
})

test('a running object whose holder is gone is rescued', () => {
  assert.is(decideWake(anUpload('running'), { ...calm, lease: heldLease }).wake, false)
  const dead = { ...heldLease, spec: { ...heldLease.spec, renewTime: at(-31) } }
  assert.equal(decideWake(anUpload('running'), { ...calm, lease: dead }), {
    wake: true,
    cause: 'rescue',
    why: 'its holder is gone',
  })
})

test('a planned wake-up is no rescue', () => {
  assert.is(decideWake(anUpload('waiting', { due: at(1) }), calm).wake, false)
  assert.equal(decideWake(anUpload('waiting', { due: at(0) }), calm), {
    wake: true,
    cause: 'scheduled',
    why: 'its time has come',
  })
})

test('a snapshot that waits is woken only when its upload has moved on', () => {
  const snapshot = {
    ...anUpload('waiting'),
    kind: 'Snapshot',
    spec: { backupRepository: 'br' },
    status: { phase: 'Uploading' },
  }
  assert.is(decideWake(snapshot, { ...calm, upload: anUpload('running') }).wake, false)
  assert.is(decideWake(snapshot, { ...calm, upload: anUpload('done', { status: { phase: 'Completed' } }) }).wake, true)
})

test('what is over and labelled done is never woken', () => {
  assert.is(decideWake(anUpload('done', { status: { phase: 'Completed' } }), calm).wake, false)
  assert.is(
    decideWake(anUpload('upload', { status: { phase: 'Completed' }, due: at(-60) }), calm).wake,
    true,
    'its label is still to be set',
  )
})

test('the sweep sees a cancel in spite of back-off and queue, and does not repeat one that was seen', () => {
  const cancelled = (upload: LooseObject) => ({ ...upload, spec: { uploadCancel: true } })
  const later = { due: at(3600), status: { phase: 'UploadError', nextRetryTimestamp: at(3600) } }
  assert.is(decideWake(anUpload('waiting', later), calm).wake, false)
  assert.is(decideWake(cancelled(anUpload('waiting', later)), calm).wake, true)
  assert.is(decideWake(cancelled(anUpload('queued')), calm).wake, true)
  assert.is(decideWake(cancelled(anUpload('queued')), { ...calm, lease: heldLease }).wake, false, 'its holder sees it')
  const seen = { due: at(3600), status: { phase: 'Canceling' } }
  assert.is(decideWake(cancelled(anUpload('waiting', seen)), calm).wake, false, 'the abort has a back-off of its own')
  const tooLate = { due: at(3600), status: { phase: 'CleanupFailed', root: 'roots/s', nextRetryTimestamp: at(3600) } }
  assert.is(decideWake(cancelled(anUpload('waiting', tooLate)), calm).wake, false)
})

test('a transfer obeys a cancel of its owner, but not of another object of that name', () => {
  const upload = anUpload('waiting', { due: at(3600), status: { phase: 'UploadError', nextRetryTimestamp: at(3600) } })
  const owner = (spec: object, uploadName: string, change: object = {}) => ({
    ...anUpload('waiting'),
    kind: 'Snapshot',
    metadata: { ...anUpload().metadata, ...change },
    spec,
    status: { phase: 'UploadFailed', uploadName },
  })
  const wakes = (snapshot: LooseObject) => decideWake(upload, { ...calm, owner: snapshot }).wake
  assert.is(wakes(owner({}, upload.metadata.name)), false)
  assert.is(wakes(owner({ snapshotCancel: true }, upload.metadata.name)), true)
  assert.is(wakes(owner({}, upload.metadata.name, { deletionTimestamp: at(0) })), true)
  assert.is(wakes(owner({ snapshotCancel: true }, 'upload-of-another')), false)
})

test('a due time later than any that Dormouse sets hides no work from the sweep', () => {
  const longest = {
    Snapshot: 30,
    Upload: 3600,
    Download: 300,
    CloneFromSnapshot: 300,
    DeleteSnapshot: 60,
    BackupRepositoryClaim: 3600,
  }
  assert.equal(Object.keys(longest).sort(), [...STEPPED_KINDS].sort())
  const CLOCKS_DIFFER = 60
  for (const [kind, seconds] of Object.entries(longest)) {
    const due = (after: number) => ({ ...anUpload('waiting', { due: at(after), status: {} }), kind })
    assert.is(decideWake(due(seconds), calm).wake, false, kind)
    assert.is(decideWake(due(seconds + CLOCKS_DIFFER), calm).wake, false, `${kind}: clocks differ`)
    assert.is(decideWake(due(seconds + CLOCKS_DIFFER + 1), calm).wake, true, kind)
    assert.is(
      decideWake(
        { ...due(0), metadata: { ...due(0).metadata, annotations: { 'dormouse.dev/due': '2999-01-01T00:00:00Z' } } },
        calm,
      ).wake,
      true,
      kind,
    )
    const long = { ...calm, backoffUnitMs: 120_000 }
    assert.is(decideWake(due(uploadBackoffUnits(99) * 120), long).wake, kind !== 'Upload', `${kind}: a longer unit`)
  }
})

test('only transfers wait for a slot: no other object is hidden by the label of the queue', () => {
  for (const kind of STEPPED_KINDS) {
    const queued = { ...anUpload('queued', { status: {} }), kind }
    const isHidden = kind === 'Upload' || kind === 'Download'
    assert.is(decideWake(queued, { ...calm, nowMs: NOW + 60_000 }).wake, !isHidden, kind)
  }
})

test('a slot is kept between slices and given up in back-off', () => {
  assert.is(keepsSlot(anUpload('upload')), true)
  assert.is(keepsSlot(anUpload('running')), true)
  assert.is(keepsSlot(anUpload('waiting')), false)
  assert.is(keepsSlot(anUpload('upload', { status: { phase: 'Completed' } })), false)
})

test('a transfer that comes while none waits takes a free slot, and its holder keeps it', () => {
  const me = anUpload('upload', { uid: 'b', created: at(-10) })
  assert.equal(decideSlot(me, ['', ''], true), { kind: 'take', index: 0 })
  assert.equal(decideSlot(me, ['x', ''], true), { kind: 'take', index: 1 })
  assert.is(decideSlot(me, ['x', ''], false).kind, 'queue', 'it is given to who waits')
  assert.is(decideSlot(me, ['x', 'y'], true).kind, 'queue')
  assert.is(decideSlot(me, ['', slotHolder(me)], false).kind, 'have')
  const older = anUpload('queued', { uid: 'a', created: at(-20) })
  assert.equal(
    oldestFirst([me, older]).map((object) => object.metadata.uid),
    ['a', 'b'],
  )
})

test('of two created in the same second the same one is older everywhere', () => {
  const first = anUpload('queued', { uid: 'a' })
  const second = anUpload('queued', { uid: 'b' })
  assert.equal(oldestFirst([second, first]), oldestFirst([first, second]))
})

test('a lease is held until its time is over, to the boundary', () => {
  assert.is(leaseState(undefined, 'me', NOW), 'free')
  assert.is(leaseState(heldLease, 'me', NOW + 19_999), 'held')
  assert.is(leaseState(heldLease, 'me', NOW + 20_000), 'stale')
  assert.is(leaseState(heldLease, 'x', NOW), 'mine')
  assert.is(leaseState(heldLease, 'me', NOW - 40_000), 'held', 'a little ahead is no wonder')
  assert.is(leaseState(heldLease, 'me', NOW - 40_001), 'stale', 'from an hour ahead it would be held for an hour')
  assert.is(leaseState({ ...heldLease, spec: { holderIdentity: null } }, 'me', NOW), 'free')
})

test('leases have the names of the Velero Plugin for vSphere for its two kinds', () => {
  assert.is(leaseName(anUpload()), 'upload-lease.upload-a')
  assert.is(leaseName({ ...anUpload(), kind: 'Snapshot' }), 'snapshot-lease.a')
})

test('a condition keeps its time while its status stays', () => {
  const first = setCondition(undefined, { type: 'Uploaded', status: 'False', reason: 'A', message: 'm' }, NOW)
  const same = setCondition(first, { type: 'Uploaded', status: 'False', reason: 'B', message: 'n' }, NOW + 5000)
  assert.is(same[0]?.lastTransitionTime, first[0]?.lastTransitionTime)
  assert.is(same[0]?.reason, 'B')
  assert.is.not(
    setCondition(same, { type: 'Uploaded', status: 'True', reason: 'C', message: '' }, NOW + 5000)[0]
      ?.lastTransitionTime,
    first[0]?.lastTransitionTime,
  )
})

test('progress reads well', () => {
  assert.equal(progressView(512 * 1024 * 1024, 1 << 30), {
    totalBytes: 1 << 30,
    bytesDone: 1 << 29,
    percent: 50,
    summary: '512 MiB of 1.0 GiB',
  })
  assert.is(progressView(0, 0).percent, 100)
  assert.is(sizeText(100), '100 B')
})

const REFUSED: [reason: string, act: () => unknown][] = [
  ['ResourceKindUnsupported', () => requireClaimHandle({ apiGroup: 'apps', kind: 'Deployment', name: 'x' })],
  ['ResourceKindUnsupported', () => requireClaimHandle({ apiGroup: '', kind: 'PersistentVolumeClaim', name: '' })],
  ['ClaimNotFound', () => requireBoundClaim(undefined, 'a/b')],
  ['ClaimNotBound', () => requireBoundClaim({ ...anUpload(), status: { phase: 'Pending' } }, 'a/b')],
  ['VolumeNotFound', () => requireVolume(undefined, 'pv')],
  [
    'DriverUnsupported',
    () => requireDisk({ ...anUpload(), spec: { csi: { driver: 'ebs.csi.aws.com', volumeHandle: 'v' } } }, 'pv'),
  ],
  [
    'FileVolumeUnsupported',
    () =>
      requireDisk({ ...anUpload(), spec: { csi: { driver: 'csi.vsphere.vmware.com', volumeHandle: 'file:x' } } }, 'pv'),
  ],
  [
    'AccessModeUnsupported',
    () =>
      requireDisk(
        {
          ...anUpload(),
          spec: { accessModes: ['ReadWriteMany'], csi: { driver: 'csi.vsphere.vmware.com', volumeHandle: 'x' } },
        },
        'pv',
      ),
  ],
]
for (const [reason, act] of REFUSED) {
  test(`what cannot be backed up is refused by name: ${reason}`, () => {
    assert.throws(act, (error: unknown) => error instanceof TerminalError && error.reason === reason)
  })
}

test('a staging claim asks for the same disk and carries nothing of the old one', () => {
  const clone: LooseObject = {
    apiVersion: '',
    kind: 'CloneFromSnapshot',
    metadata: { name: 'c', namespace: 'new', uid: 'u' },
  }
  const stored: PersistentVolumeClaim = {
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: {
      name: 'data',
      namespace: 'old',
      labels: { app: 'pg' },
      annotations: {
        keep: 'me',
        'pv.kubernetes.io/bind-completed': 'yes',
        'volume.beta.kubernetes.io/storage-class': 'another',
        'csi.vsphere.volume-requested-topology': '[]',
        'dormouse.dev/clone': 'a/lie',
      },
    },
    spec: {
      accessModes: ['ReadWriteOnce'],
      resources: { requests: { storage: '1Gi' } },
      storageClassName: 'fast',
      volumeName: 'pvc-old',
      dataSource: { kind: 'x', name: 'y' },
    },
  }
  const placement = { namespace: 'new', storageClass: 'fast', selectedNode: undefined }
  const staging = stagingClaim(clone, stored, placement)
  assert.is(staging.metadata.name, 'dormouse-u')
  assert.is(staging.metadata.namespace, 'new')
  assert.equal(staging['spec'], {
    accessModes: ['ReadWriteOnce'],
    resources: { requests: { storage: '1Gi' } },
    storageClassName: 'fast',
  })
  assert.is(staging.metadata.labels?.['app'], 'pg', 'a policy may want labels')
  assert.equal(staging.metadata.annotations, { keep: 'me', 'dormouse.dev/clone': 'new/c' }, 'or annotations')
  assert.is(staging.metadata.ownerReferences?.[0]?.uid, 'u')
  const apart = stagingClaim(clone, stored, { ...placement, namespace: 'velero' })
  assert.equal(apart.metadata.labels, { 'dormouse.dev/clone-uid': 'u', 'velero.io/exclude-from-backup': 'true' })
  assert.equal(apart.metadata.annotations, { 'dormouse.dev/clone': 'new/c' })
  assert.is(apart.metadata.ownerReferences, undefined, 'an owner is of the same namespace')
  const restored = restoredClaim(clone, stored, {
    apiVersion: 'v1',
    kind: 'PersistentVolume',
    metadata: { name: 'pvc-new' },
    spec: { storageClassName: 'fast' },
  })
  assert.is(restored['spec'].volumeName, 'pvc-new')
  assert.is(restored.metadata.labels?.['app'], 'pg')
  assert.is(restored.metadata.annotations?.['keep'], 'me')
  assert.is(restored.metadata.annotations?.['pv.kubernetes.io/bind-completed'], undefined)
})

test.run()
