// What a DeleteSnapshot may remove, for every combination of what may exist for its id.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Actor } from '#shared/domain/authority.ts'
import { snapshotDescription } from '#shared/domain/orphans.ts'
import { decideRemoval, type Found, isUploadOf, needsVolume, type Removal } from '#shared/domain/removal.ts'
import { TerminalError } from '#shared/kernel/errors.ts'
import type { LooseObject } from '#test/support/loose-object.ts'

const removal = suite('what a DeleteSnapshot may remove')

const DISK = {
  fcdId: '11111111-2222-4333-8444-555555555555',
  snapshotId: 'bbbbbbbb-0000-4000-8000-000000000001',
}
const TENANT: Actor = { kind: 'tenant', namespace: 'b' }
const DELEGATE = { kind: 'delegate', namespace: 'b' } as const
const OPERATOR: Actor = { kind: 'operator' }
const OURS = snapshotDescription('mine', 'u-1')
const NOTHING: Found = { clusterId: 'mine', upload: undefined, roots: [], description: undefined, isOwnDisk: false }

function anUpload(namespace: string, status: object = { phase: 'InProgress' }): LooseObject {
  return {
    apiVersion: '',
    kind: 'Upload',
    metadata: { name: 'u', namespace: 'velero' },
    spec: { snapshotID: `ivd:${DISK.fcdId}:${DISK.snapshotId}`, snapshotReference: `${namespace}/s` },
    status,
  }
}

const aRoot = (claim: string, clusterId = 'mine') => ({ root: `roots/${claim}`, about: { clusterId, claim } })

/** undefined: refused. */
function ask(actor: Actor, found: Partial<Found>): Removal | undefined {
  try {
    return decideRemoval(actor, { ...NOTHING, ...found })
  } catch (error) {
    assert.instance(error, TerminalError)
    assert.is((error as TerminalError).reason, 'NotPermitted')
    return undefined
  }
}

removal('where nothing is found nothing is touched, and no session of others is fenced', () => {
  assert.equal(ask(TENANT, {}), { stopUpload: false, diskSnapshot: 'gone', roots: [], mayFence: false })
  assert.is(ask(OPERATOR, {})?.mayFence, true)
})

removal('a disk snapshot is removed only under the name of this very cluster', () => {
  const own = { isOwnDisk: true, upload: anUpload('b') }
  assert.is(ask(TENANT, { ...own, description: OURS })?.diskSnapshot, 'remove')
  for (const description of ['', 'by hand', snapshotDescription('mine2', 'u-1'), 'dormouse/mine/', 'dormouse/mine/a/b'])
    for (const actor of [OPERATOR, TENANT, DELEGATE])
      assert.is(ask(actor, { ...own, description })?.diskSnapshot, 'foreign', description)
})

removal(
  'three things prove the owner of a disk snapshot: a root, an Upload that runs or is sealed, the volume of the disk',
  () => {
    const description = OURS
    for (const actor of [TENANT, DELEGATE]) {
      assert.is(ask(actor, { description }), undefined)
      assert.is(ask(actor, { description, roots: [aRoot('b/data')] })?.diskSnapshot, 'remove')
      assert.is(ask(actor, { description, isOwnDisk: true })?.diskSnapshot, 'remove')
      assert.is(ask(actor, { description, upload: anUpload('b') })?.diskSnapshot, 'remove')
      assert.is(
        ask(actor, { description, upload: anUpload('b', { phase: 'Completed', root: 'r' }) })?.diskSnapshot,
        'remove',
      )
      for (const phase of ['Completed', 'Canceled', 'UploadFailedAfterRetry'])
        assert.is(ask(actor, { description, upload: anUpload('b', { phase }) }), undefined, phase)
    }
  },
)

removal('a running Upload of others prevents the whole removal, whatever else is proved', () => {
  const theirs = { description: OURS, upload: anUpload('app') }
  assert.is(ask(TENANT, { ...theirs, isOwnDisk: true }), undefined)
  assert.is(ask(TENANT, { ...theirs, roots: [aRoot('b/data')] }), undefined)
  assert.is(ask(OPERATOR, theirs)?.stopUpload, true)
  for (const namespace of ['', 'B', 'b.x', '../b'])
    assert.is(ask(TENANT, { ...theirs, upload: anUpload(namespace) }), undefined, namespace)
})

removal('an Upload of others without a disk snapshot proves nothing, and is not stopped', () => {
  assert.equal(ask(TENANT, { upload: anUpload('app') }), ask(TENANT, {}))
})

removal('one root of others protects all roots of the disk snapshot', () => {
  for (const actor of [TENANT, DELEGATE]) {
    assert.is(ask(actor, { roots: [aRoot('b/data'), aRoot('app/data')] }), undefined)
    assert.is(ask(actor, { roots: [{ root: 'r', about: undefined }] }), undefined)
    assert.is(ask(actor, { roots: [aRoot('')] }), undefined)
  }
  assert.is(ask(TENANT, { roots: [aRoot('b/data', 'another')] }), undefined)
  assert.is(ask(DELEGATE, { roots: [aRoot('b/data', 'another')] }), undefined)
  const { root, about } = aRoot('b/data', 'another')
  const ofBackup = { roots: [{ root, about: { ...about, backup: 'nightly' } }] }
  assert.equal(ask({ ...DELEGATE, backup: 'nightly' }, ofBackup)?.roots, ['roots/b/data'])
  assert.is(ask({ ...DELEGATE, backup: 'weekly' }, ofBackup), undefined)
  assert.is(ask(DELEGATE, ofBackup), undefined)
  assert.equal(ask(OPERATOR, { roots: [{ root: 'r', about: undefined }, aRoot('app/x')] })?.roots, ['r', 'roots/app/x'])
})

removal('the volumes of the cluster are asked only when nothing else says whose it is', () => {
  assert.is(needsVolume(TENANT, { ...NOTHING, description: OURS }), true)
  assert.is(needsVolume(TENANT, NOTHING), false)
  assert.is(needsVolume(TENANT, { ...NOTHING, description: 'by hand' }), false)
  assert.is(needsVolume(OPERATOR, { ...NOTHING, description: OURS }), false)
  for (const upload of [anUpload('b'), anUpload('app')])
    assert.is(needsVolume(TENANT, { ...NOTHING, description: OURS, upload }), false)
})

removal('an Upload counts only for the disk and the snapshot that it moves', () => {
  assert.is(isUploadOf(anUpload('b'), DISK), true)
  assert.is(isUploadOf(anUpload('b'), { ...DISK, fcdId: DISK.snapshotId }), false)
  assert.is(isUploadOf({ ...anUpload('b'), spec: { snapshotID: 'nonsense' } }, DISK), false)
})

removal.run()
