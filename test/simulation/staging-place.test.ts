// The namespace of the staging claim, and the rules of a user's namespace: a restore fits where its claim alone fits, or soon ends with a reason.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { RESTORE_ANNOTATION, RESTORE_UID_LABEL } from '#shared/domain/velero.ts'
import { TerminalError } from '#shared/kernel/errors.ts'
import { MINUTE_MS } from '#shared/kernel/units.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { wakeForLostStaging } from '../../functions/sweep/lost-staging.ts'
import { type FaultPlan, NO_FAULTS } from './fault-plan.ts'
import { assertNothingLeft } from './invariants.ts'
import { aBackup, aClone, aWaitingClaim, diskBytes, isDone } from './objects.ts'
import { quotaOf, ruleClaims } from './quota.ts'
import { World } from './world.ts'

const SEEDS = Number(process.env['SEEDS'] ?? 20)
const BAD: FaultPlan = { drop: 0.3, double: 0.3, die: 0.05 }
const AWAITED = 'dormouse-awaited'
const NAMESPACE = 'restored'
const NOT_OVER = new AbortController().signal

type Driven = {
  /** `spec` of the Restore. */
  restore?: object
  /** `spec` of its Backup; undefined: it is not there. */
  backup?: object
  /** Without it, only the tenant says that there is a restore. */
  byHand?: boolean
  /** Velero's claim, made for this clone. */
  own?: boolean
  storageClass?: string
  /** `fsType` of the backed-up volume: the restored volume then needs another volume object. */
  fsType?: string | undefined
}

/** Asks as Velero's plugin does, and makes the claim as Velero does. */
async function aDrivenWorld(seed: number, plan: FaultPlan, driven: Driven = {}) {
  const { restore = {}, backup, byHand = false, own = true, storageClass, fsType } = driven
  const world = new World(seed, plan)
  const snapshot = await aBackup(world, fsType)
  const clone = aClone(world, 'clone-1', snapshot, { awaits: AWAITED, storageClass })
  const mark = () => ({
    metadata: {
      labels: { [RESTORE_UID_LABEL]: aRestore(world, restore) },
      annotations: { [RESTORE_ANNOTATION]: 'back' },
    },
  })
  if (backup !== undefined) {
    const metadata = { name: 'daily', namespace: 'velero' }
    world.cluster.seed('Backup', { apiVersion: 'velero.io/v1', kind: 'Backup', metadata, spec: backup })
  }
  const marked = byHand ? clone : await world.cluster.patch('CloneFromSnapshot', clone, mark())
  aWaitingClaim(world, own ? marked : { ...marked, metadata: { ...marked.metadata, uid: 'of-another' } })
  return { world, staged: placesOf(world), most: mostClaims(world) }
}

function aRestore(world: World, spec: object): string {
  const restore = world.cluster.seed('Restore', {
    apiVersion: 'velero.io/v1',
    kind: 'Restore',
    metadata: { name: 'back', namespace: 'velero' },
    spec: { backupName: 'daily', namespaceMapping: { app: NAMESPACE }, ...spec },
    status: { phase: 'InProgress' },
  })
  return restore.metadata.uid ?? ''
}

const isStaging = ({ metadata }: LooseObject) => metadata.name.startsWith('dormouse-')

/** The namespaces of the staging claims that were made. */
function placesOf(world: World): Set<string> {
  const places = new Set<string>()
  world.cluster.onWrite((kind, before, after) => {
    if (kind === 'PersistentVolumeClaim' && before === undefined && after !== undefined && isStaging(after))
      places.add(after.metadata.namespace ?? '')
  })
  return places
}

/** The most claims that the user's namespace had at one time. */
function mostClaims(world: World): () => number {
  let most = 0
  world.cluster.onWrite((kind) => {
    const all = world.cluster.peekAll('PersistentVolumeClaim')
    if (kind === 'PersistentVolumeClaim') most = Math.max(most, all.filter(inNamespace).length)
  })
  return () => most
}

const inNamespace = ({ metadata }: LooseObject) => metadata.namespace === NAMESPACE
const cloneIn = (world: World) => world.cluster.peek('CloneFromSnapshot', NAMESPACE, 'clone-1')
const claimIn = (world: World) => world.cluster.peek('PersistentVolumeClaim', NAMESPACE, 'data')
const eventsOf = (world: World, name: string) =>
  world.cluster.peekAll('Event').filter(({ involvedObject }) => involvedObject.name === name)

async function untilOver(world: World): Promise<LooseObject['status']> {
  await world.run(() => isDone(cloneIn(world)) && world.cluster.peekAll('Download').every(isDone))
  await world.run(() => world.heldLeases.length === 0)
  assert.equal(world.broken, [])
  assert.equal(world.errors, [])
  assertNothingLeft(world)
  return cloneIn(world)?.['status']
}

function assertWhole(world: World): void {
  const volume = world.cluster.peek('PersistentVolume', undefined, claimIn(world)?.['spec'].volumeName ?? '')
  const source = world.cluster.peek('PersistentVolume', undefined, 'pv-data')
  const [restored, saved] = [volume, source].map((each) => diskBytes(world, each?.['spec']?.csi?.volumeHandle ?? ''))
  assert.ok(saved !== undefined && restored?.equals(saved), 'the data is whole')
}

for (const [seed, plan] of [
  [0, NO_FAULTS] as const,
  ...Array.from({ length: SEEDS }, (_, n) => [n + 1, BAD] as const),
]) {
  test(`seed ${seed}: a quota of one claim holds Velero's, and the restore is whole`, async () => {
    const { world, staged, most } = await aDrivenWorld(seed, plan)
    quotaOf(world, NAMESPACE, 1)
    const status = await untilOver(world)
    assert.is(status.phase, 'Completed', world.describe())
    assert.equal([...staged], ['velero'])
    assert.is(most(), 1)
    assertWhole(world)
    if (plan === NO_FAULTS) assert.is(world.rescues, 0)
  })

  test(`seed ${seed}: a quota of one claim holds one after the other of a restore by hand`, async () => {
    const world = new World(seed, plan)
    const snapshot = await aBackup(world)
    const staged = placesOf(world)
    quotaOf(world, NAMESPACE, 1, 1500)
    aClone(world, 'clone-1', snapshot)
    const status = await untilOver(world)
    assert.is(status.phase, 'Completed', world.describe())
    assert.equal([...staged], [NAMESPACE])
    assertWhole(world)
    if (plan === NO_FAULTS)
      assert.equal(
        eventsOf(world, 'clone-1').map(({ type }) => type),
        ['Normal'],
      )
  })
}

/** A restore into the namespace of the same name. */
const OF_ALL = { namespaceMapping: {} }
const NAMED: [string, Driven][] = [
  ['the Restore names it', { restore: { ...OF_ALL, includedNamespaces: [NAMESPACE] } }],
  ['the Restore has a pattern of it', { restore: { ...OF_ALL, includedNamespaces: ['res*'] } }],
  ['its Backup names it', { restore: OF_ALL, backup: { includedNamespaces: [NAMESPACE] } }],
]
for (const [what, driven] of NAMED)
  test(`${what}: the staging claim is in Velero's namespace`, async () => {
    const { world, staged } = await aDrivenWorld(1, NO_FAULTS, driven)
    quotaOf(world, NAMESPACE, 1)
    await world.run(() => staged.size > 0 || isDone(cloneIn(world)))
    assert.equal([...staged], ['velero'])
  })

const COUNTED: [string, Driven][] = [
  ['no Restore of Velero', { byHand: true }],
  ['a Restore that leaves the namespace out', { restore: { includedNamespaces: ['other'] } }],
  ['a Restore of a pattern that is not read', { restore: { includedNamespaces: ['ap[opq]'] } }],
  ['a Restore that names no namespace, of a Backup of all', { restore: OF_ALL, backup: {} }],
  ['the same with stars', { restore: { ...OF_ALL, includedNamespaces: ['*'] }, backup: { includedNamespaces: ['*'] } }],
  ['a Restore that names no namespace, of a Backup that is gone', { restore: OF_ALL }],
  ['a Backup that leaves the namespace out', { restore: OF_ALL, backup: { includedNamespaces: ['other'] } }],
  ['a Restore of other things', { restore: { includedResources: ['configmaps'] } }],
  ["a claim that was made for another clone's restore", { own: false }],
]
for (const [what, driven] of COUNTED) {
  test(`${what}: the disk is counted where it is asked for, and what does not fit ends by name`, async () => {
    const { world, staged } = await aDrivenWorld(1, NO_FAULTS, driven)
    quotaOf(world, NAMESPACE, 1)
    const sinceMs = world.clock.nowMs()
    const status = await untilOver(world)
    assert.equal([status.phase, status.reason], ['Failed', 'QuotaExceeded'])
    assert.match(status.message, /exceeded quota: small.*waited 180 s/)
    assert.ok(world.clock.nowMs() - sinceMs < 10 * MINUTE_MS, 'it ends soon')
    assert.equal([...staged], [])
    for (const name of ['clone-1', 'data'])
      assert.ok(eventsOf(world, name).every(({ type, reason }) => type === 'Warning' && reason === 'QuotaExceeded'))
    assert.ok(eventsOf(world, 'data').length > 0, 'who looks at the claim finds it')
  })
}

test('room that comes while the restore waits is used, and the first refusal gave an Event', async () => {
  const { world, staged } = await aDrivenWorld(2, NO_FAULTS, { byHand: true })
  let most = 1
  const refuse = () => new TerminalError('QuotaExceeded', 'exceeded quota: small')
  ruleClaims(world, NAMESPACE, () => (most === 1 ? refuse() : undefined))
  await world.run(() => cloneIn(world)?.['status']?.reason === 'QuotaExceeded')
  assert.equal(
    eventsOf(world, 'clone-1').map(({ reason }) => reason),
    ['QuotaExceeded'],
  )
  most = 2
  assert.is((await untilOver(world)).phase, 'Completed', world.describe())
  assert.equal([...staged], [NAMESPACE])
})

test("Velero's namespace does not take the staging claim (a Supervisor without the policy there): it stands beside the claim", async () => {
  for (const reason of ['QuotaExceeded', 'AdmissionDenied']) {
    const { world, staged } = await aDrivenWorld(3, NO_FAULTS)
    ruleClaims(world, 'velero', () => new TerminalError(reason, 'no'))
    assert.is((await untilOver(world)).phase, 'Completed', world.describe())
    assert.equal([...staged], [NAMESPACE])
    assertWhole(world)
  }
})

test('a rule against the claim ends the restore at once, before a disk is made', async () => {
  const world = new World(4)
  const snapshot = await aBackup(world)
  const disks = world.volumes.diskIds.length
  ruleClaims(world, NAMESPACE, () => new TerminalError('AdmissionDenied', 'maximum storage usage is 8Mi'))
  aClone(world, 'clone-1', snapshot)
  const status = await untilOver(world)
  assert.equal(
    [status.phase, status.reason, status.message],
    ['Failed', 'AdmissionDenied', 'maximum storage usage is 8Mi'],
  )
  assert.is(world.volumes.diskIds.length, disks)
})

test('an admission rule that requires the labels and annotations of the claim accepts the staging claim', async () => {
  const world = new World(5)
  const snapshot = await aBackup(world)
  const refuse = () => new TerminalError('AdmissionDenied', 'no label app, or no cost centre')
  const isFit = ({ labels, annotations }: LooseObject['metadata']) =>
    labels?.['app'] === 'db' && annotations?.['example.com/cost-centre'] === '42'
  ruleClaims(world, NAMESPACE, ({ metadata }) => (isFit(metadata) ? undefined : refuse()))
  aClone(world, 'clone-1', snapshot)
  assert.is((await untilOver(world)).phase, 'Completed', world.describe())
})

test('a quota that is full when the data is whole: the restore waits an hour for room, and then ends with a reason', async () => {
  for (const hasRoom of [true, false]) {
    const world = new World(6)
    const snapshot = await aBackup(world)
    let isFull = true
    const refuse = () => new TerminalError('QuotaExceeded', 'exceeded quota: small')
    ruleClaims(world, NAMESPACE, (claim) => (isFull && !isStaging(claim) ? refuse() : undefined))
    aClone(world, 'clone-1', snapshot)
    await world.run(() => cloneIn(world)?.['status']?.reason === 'QuotaExceeded')
    assert.is(cloneIn(world)?.['status']?.phase, 'InProgress')
    if (hasRoom) isFull = false
    const status = await untilOver(world)
    assert.equal([status.phase, status.reason], hasRoom ? ['Completed', 'Completed'] : ['Failed', 'QuotaExceeded'])
    assert.is(world.volumes.diskIds.length, hasRoom ? 2 : 1)
  }
})

/** Removes the finalizer as well, as a user does whose namespace does not go away. */
async function tearOut(world: World): Promise<void> {
  const clone = cloneIn(world) as LooseObject
  await world.cluster.delete('CloneFromSnapshot', clone)
  const left = cloneIn(world)
  if (left !== undefined) await world.cluster.patch('CloneFromSnapshot', left, { metadata: { finalizers: [] } })
  assert.is(cloneIn(world), undefined)
}

const TORN_OUT: [string, Driven, (world: World) => boolean][] = [
  [
    'before it is bound',
    { storageClass: 'never' },
    (world) => world.cluster.peekAll('PersistentVolumeClaim').some(isStaging),
  ],
  ['while its data is written', {}, (world) => world.cluster.peekAll('Download').length > 0],
]
for (const [when, driven, isThen] of TORN_OUT) {
  test(`a restore that is torn out ${when}: the sweep finds its staging claim in Velero's namespace, and the disk goes`, async () => {
    const { world, staged } = await aDrivenWorld(7, NO_FAULTS, driven)
    // Not `run`, which would let the Download reach its end.
    while (!isThen(world)) await world.turn()
    assert.equal([...staged], ['velero'])
    world.cluster.onWrite((kind, before, after) => {
      const isGoing = before !== undefined && (after === undefined || after.metadata.deletionTimestamp !== undefined)
      if (
        kind === 'PersistentVolumeClaim' &&
        isGoing &&
        isStaging(before) &&
        !world.cluster.peekAll('Download').every(isDone)
      )
        world.broken.push('the staging claim goes while its Download may write')
    })
    await tearOut(world)
    const deps = world.sweepDeps()
    for (let n = 0; n < 10 && world.cluster.peekAll('PersistentVolumeClaim').some(isStaging); n++) {
      await wakeForLostStaging(deps, NOT_OVER)
      await world.drain()
      for (let turn = 0; turn < 200; turn++) await world.turn()
    }
    await world.run(() => world.heldLeases.length === 0 && world.cluster.peekAll('Download').every(isDone))
    for (let turn = 0; turn < 50; turn++) await world.turn()
    assert.equal(world.cluster.peekAll('PersistentVolumeClaim').filter(isStaging), [])
    assert.is(world.volumes.diskIds.length, 1, 'the disk is gone')
    assert.equal(world.broken, [])
    assert.is(await wakeForLostStaging(deps, NOT_OVER), 0)
  })
}

test('the sweep leaves the staging claims of running restores alone', async () => {
  const { world } = await aDrivenWorld(8, NO_FAULTS, { storageClass: 'never' })
  await world.run(() => world.cluster.peekAll('PersistentVolumeClaim').some(isStaging))
  assert.is(await wakeForLostStaging(world.sweepDeps(), NOT_OVER), 0)
  await untilOver(world)
})

test('a user removes the annotation meanwhile: at the end the disk in Velero’s namespace is found all the same', async () => {
  const { world } = await aDrivenWorld(9, NO_FAULTS, { storageClass: 'never' })
  await world.run(() => world.cluster.peekAll('PersistentVolumeClaim').some(isStaging))
  const off = { metadata: { annotations: { 'dormouse.dev/restored-volume': null } }, spec: { cloneCancel: true } }
  await world.cluster.patch('CloneFromSnapshot', cloneIn(world) as LooseObject, off)
  await world.run(() => isDone(cloneIn(world)))
  await wakeForLostStaging(world.sweepDeps(), NOT_OVER)
  await world.drain()
  await untilOver(world)
})

test('the annotation and the waiting claim are taken away while the data is written: the staging claim goes before its volume, and nothing stays', async () => {
  for (const fsType of [undefined, 'xfs']) {
    const { world } = await aDrivenWorld(11, NO_FAULTS, { fsType })
    while (world.cluster.peekAll('Download').length === 0) await world.turn()
    world.cluster.onWrite((kind, _, after) => {
      const ref = after?.metadata.deletionTimestamp === undefined ? undefined : after['spec']?.claimRef
      const claim = ref && world.cluster.peek('PersistentVolumeClaim', ref.namespace, ref.name)
      if (kind === 'PersistentVolume' && claim !== undefined && claim.metadata.uid === ref.uid)
        world.broken.push('a volume object is deleted while its claim stands')
    })
    const off = { metadata: { annotations: { 'dormouse.dev/restored-volume': null } } }
    await world.cluster.patch('CloneFromSnapshot', cloneIn(world) as LooseObject, off)
    await world.cluster.delete('PersistentVolumeClaim', claimIn(world) as LooseObject)
    const status = await untilOver(world)
    assert.is(status.phase, 'Completed', world.describe())
    assert.equal(world.cluster.peekAll('PersistentVolumeClaim').filter(isStaging), [])
    assertWhole(world)
  }
})

test('an earlier version has made the staging claim beside the claim: the restore goes on with it', async () => {
  const { world, staged } = await aDrivenWorld(10, NO_FAULTS)
  ruleClaims(world, 'velero', () => new TerminalError('AdmissionDenied', 'an earlier version knows no other place'))
  await world.run(() => world.cluster.peekAll('Download').length > 0)
  const [download] = world.cluster.peekAll('Download')
  const key = 'dormouse.dev/staged-volume'
  const { namespace: _, ...said } = JSON.parse(download?.metadata.annotations?.[key] ?? '')
  const annotations = { [key]: JSON.stringify(said) }
  await world.cluster.patch('Download', download as LooseObject, { metadata: { annotations } })
  assert.is((await untilOver(world)).phase, 'Completed', world.describe())
  assert.equal([...staged], [NAMESPACE])
  assertWhole(world)
})

test.run()
