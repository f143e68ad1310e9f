// Two clusters, each with an API server, functions, tenants and Velero of its own, over one vCenter and one bucket: neither reads, deletes,
// changes or restores what belongs to the other, and each refusal has its reason. What the documents allow works.

import { randomUUID } from 'node:crypto'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { parseDiskSnapshotId } from '#shared/domain/ids.ts'
import type { Environment } from '#test/environment/environment.ts'
import { until } from '#test/environment/fixtures/echo/start.ts'
import { aSnapshot, backUp, restore, typeOf } from '#test/environment/main-job.ts'
import { secret, VSPHERE_SECRET } from '#test/environment/seed.ts'
import { sha256 } from '#test/environment/storage/content.ts'
import { DRIVER } from '#test/environment/storage/csi.ts'
import { type Volume, volumeOf } from '#test/environment/storage/volume.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { untilReason } from '../system/support/bad-input.ts'
import { bindByHand } from '../system/support/by-hand.ts'
import { DiskSnapshots } from '../system/support/disk-snapshots.ts'
import { assertUntouched } from '../system/support/foreign-world.ts'
import { aPlainTenant } from '../system/support/tenants.ts'
import {
  assertWhole,
  aVolume,
  backUpOf,
  type Cluster,
  COPY,
  clone,
  deletion,
  diskIn,
  ended,
  endTalks,
  NAMESPACE,
  pruned,
  renamed,
  settle,
  stagedIn,
  startCluster,
  upload,
  watch,
  within,
} from '../system/support/two-clusters.ts'
import {
  type Ask,
  asksByStatus,
  asksOfOperators,
  asksOfTenants,
  refusalOf,
  wrongEnds,
} from '../system/support/two-clusters-asks.ts'
import { aFilledVolume, type Hold, holdStore, phaseOf, runOf } from '../system/support/velero.ts'

const [A, B] = ['cluster-a', 'cluster-b'] as const
const VELERO = 'velero'

const two = suite('two clusters on one vCenter and bucket')
let first: Environment
let second: Environment
let a: Cluster
let b: Cluster
let snapshots: DiskSnapshots
let cart: string
let holds: Hold[] = []

two.before(async () => {
  first = await startCluster(A)
  cart = await sha256((await aFilledVolume(first, 'shop', 'cart')).file)
  const nightly = first.velero('backup', 'create', 'nightly', '--include-namespaces', 'shop', '--wait')
  ;[second] = await Promise.all([startCluster(B, first), nightly])
  // Both clusters make the shared repository, at the same time.
  ;[a, b] = await Promise.all([settle(A, first), settle(B, second)])
  snapshots = new DiskSnapshots(first)
})
two.after(async () => {
  endTalks(a)
  endTalks(b)
  await snapshots?.close()
  await second?.stop()
  await first.stop()
})

two.after.each(() => {
  for (const { release } of holds.splice(0)) release()
})

const both = async <T>(act: (own: Cluster, other: Cluster) => Promise<T>): Promise<T[]> =>
  await Promise.all([act(a, b), act(b, a)])

two(
  'forged ids and status reach nothing of the other cluster, in one repository and in two, and each refusal says why',
  async () => {
    const before = await both(watch)
    const [byA, byB] = [asksOfTenants(a, b), [...asksOfTenants(b, a), ...asksByStatus(b, a), ...asksOfOperators(b, a)]]
    const wrong = await Promise.all([wrongEnds(a, byA), wrongEnds(b, byB)])
    assert.equal(wrong, [[], []])
    const now = await both(watch)
    for (const [index, world] of before.entries()) assertUntouched(world, now[index]!)
    const uploads = await second.api.list(typeOf('Upload').apiVersion, 'Upload', VELERO)
    const forged = uploads.filter(({ metadata, spec }) => {
      const isOfTenant = metadata.labels?.['dormouse.dev/snapshot-uid'] !== undefined
      return isOfTenant && spec.snapshotReference.startsWith(`${NAMESPACE}/forged-`)
    })
    assert.is(forged.length, 2)
    for (const { spec } of forged) assert.match(spec.snapshotID, b.volume.fcdId)
  },
)

two(
  'RBAC keeps the tenants of a cluster out of its Velero namespace, with the sample role and with a larger one',
  async () => {
    await both(async ({ plain, hostile, repositories: { named } }, other) => {
      const { snapshotID } = other.sealed['status']
      for (const { api } of [plain, hostile]) {
        assert.is(await refusalOf(api.create(deletion(VELERO, snapshotID, named))), 403)
        assert.is(await refusalOf(api.create(upload(VELERO, diskIn(snapshotID), named))), 403)
        const ref = { ...typeOf('BackupRepository'), name: named }
        const trust = { metadata: { annotations: { 'dormouse.dev/restore-from-clusters': '*' } } }
        assert.is(await refusalOf(api.patch(ref, trust)), 403)
      }
    })
  },
)

two(
  'an operator permits restores of the other cluster by its id, one is whole, and the operator withdraws the permission',
  async () => {
    await both(async (own, other) => {
      const { environment, plain, operator, repositories } = own
      const ref = { ...typeOf('BackupRepository'), name: repositories.named }
      const trust = async (ids: string | null) =>
        await operator.api.patch(ref, { metadata: { annotations: { 'dormouse.dev/restore-from-clusters': ids } } })
      const asks = (stored: LooseObject, ends: RegExp): Ask[] => [
        { what: 'restore', by: plain, object: clone(NAMESPACE, stored['status'], repositories.named), ends },
      ]
      await trust(other.id)
      assert.equal(await wrongEnds(own, asks(other.sealed, /^Completed /)), [])
      const copy = await volumeOf(environment, NAMESPACE, other.volume.claim.metadata.name)
      assert.is.not(copy.fcdId, other.volume.fcdId)
      assert.is(await sha256(copy.file), await sha256(other.volume.file))
      await trust(null)
      const again = {
        status: { ...other.sealed['status'], metadata: renamed(other.sealed['status'], 'again') },
      } as never
      assert.equal(await wrongEnds(own, asks(again, /^Failed NotPermitted: /)), [])
    })
  },
)

const PUT_ROOT = { [A]: 'upload mover: PUT roots/', [B]: `${B} upload mover: PUT roots/` }

/** Transfers that are held: an upload and a restore of A, an upload of B. */
type InFlight = { twins: LooseObject[]; lates: Volume[]; uploads: LooseObject[]; ends: () => Promise<LooseObject[]> }

/** A backup of the other cluster has stored the same content already: the upload names packs of the other cluster. */
async function takeOff(): Promise<InFlight> {
  const twins = await both(async (own) => {
    const twin = await aVolume(own.environment, `twin-${own.id}`, `twin of ${own.id}`)
    return (await backUpOf(own, twin)).snapshot
  })
  const lates = await both((own, other) => aVolume(own.environment, `late-${own.id}`, `twin of ${other.id}`))
  holds = [PUT_ROOT[A], PUT_ROOT[B], 'download mover: GET packs/'].map((match) => holdStore(first, match))
  const uploads = await both(async ({ environment, plain, id, repositories }) => {
    const claim = { namespace: NAMESPACE, name: `late-${id}` }
    await plain.api.create(aSnapshot('late', claim, repositories.named))
    const isTaken = (object: LooseObject | undefined) => object?.['status']?.snapshotID !== undefined
    return (await environment.waitFor('Snapshot', NAMESPACE, 'late', isTaken)).object
  })
  const restoring = restore(first, { snapshot: within(a, a.sealed) }, COPY)
  restoring.catch(() => undefined) // the test sees the rejection when it awaits the promise
  await until('all three are held', () => holds.every(({ held }) => held() > 0), 60_000)
  const ends = async () => {
    for (const { release } of holds) release()
    assert.is(await sha256((await restoring).volume.file), await sha256(a.volume.file))
    return await both((own) => ended(own, 'late'))
  }
  return { twins, lates, uploads, ends }
}

two(
  'sweeps and prunes of each cluster leave running transfers of the other alone, and all of these end whole',
  async () => {
    const { twins, lates, uploads, ends } = await takeOff()
    const disks = await Promise.all(lates.map(({ fcdId }) => snapshots.of(fcdId)))
    const sessions = await keysOf('session/')
    const asks = async (
      { plain, operator, hostile, repositories: { named } }: Cluster,
      other: Cluster,
    ): Promise<Ask[]> => {
      const [upload, twin] = other === a ? [uploads[0]!, twins[0]!] : [uploads[1]!, twins[1]!]
      return [
        {
          ...{ what: 'delete what an upload is at', by: plain, ends: /^Failed NotPermitted: the disk snapshot stays/ },
          object: deletion(NAMESPACE, upload['status'].snapshotID, named),
        },
        {
          ...{ what: 'an operator deletes in the shared repository', by: operator, ends: /^Completed .*is removed/ },
          object: deletion(VELERO, twin['status'].snapshotID, named),
        },
        {
          ...{ what: 'a restore with a staged disk in its status', by: hostile, ends: /^Canceled / },
          ...{
            object: clone(NAMESPACE, upload['status'], named, { cloneCancel: true }),
            status: await stagedIn(other),
          },
        },
      ]
    }
    assert.equal(await both(async (own, other) => await wrongEnds(own, await asks(own, other))), [[], []])
    await assertOwnOrphansGo(lates)
    assert.equal(await Promise.all(lates.map(({ fcdId }) => snapshots.of(fcdId))), disks)
    await both((own) => pruned(own, 'SessionsRunning'))
    const now = await keysOf('session/')
    assert.ok(sessions.length > 0 && sessions.every((key) => now.includes(key)))
    const sealed = await ends()
    await both((own) => pruned(own, 'Pruned'))
    for (const [index, own] of [a, b].entries()) await assertWhole(own, sealed[index]!, lates[index]!)
  },
)

const keysOf = async (folder: string) =>
  (await first.bucketObjects(`shared/plugins/dormouse/${folder}`)).map(({ key }) => key)

/** A disk snapshot of each cluster on each disk; both clusters' orphan sweeps check all of them. */
async function assertOwnOrphansGo(lates: Volume[]): Promise<void> {
  await both(async ({ environment, id }, { volume }) => {
    const csi = { driver: DRIVER, volumeHandle: volume.fcdId }
    await bindByHand(environment, { namespace: 'moved', name: `of-the-other-of-${id}` }, { csi })
  })
  const looked = [a.volume, b.volume, ...lates].map(({ fcdId }) => fcdId)
  const before = await Promise.all(looked.map((fcdId) => snapshots.of(fcdId)))
  const leave = (id: string) =>
    Promise.all(looked.map((fcdId) => snapshots.leave(fcdId, `dormouse/${id}/${randomUUID()}`)))
  const ofA = await leave(A)
  await leave(B)
  await both(async ({ environment }) => await environment.ping('dormouse-sweep'))
  await snapshots.orphansGo(
    second,
    looked,
    before.map((ids, index) => [...ids, ofA[index]!].sort()),
  )
  await snapshots.orphansGo(first, looked, before)
}

/** Requests the restore as a tenant of the namespace of `object`; returns what did not end as expected. */
async function endsInPlainHands(cluster: Cluster, object: LooseObject, ends: RegExp): Promise<string[]> {
  const by = await aPlainTenant(cluster.environment, object.metadata.namespace ?? '')
  return await wrongEnds(cluster, [{ what: 'restore', by, object, ends }]).finally(() => by.api.close())
}

two('a disk that both clusters have is backed up by each, and neither touches the other’s snapshot of it', async () => {
  const name = `of-the-other-of-${B}`
  const before = await snapshots.of(a.volume.fcdId)
  const { snapshot } = await backUp(second, { namespace: 'moved', name }, b.repositories.open)
  assert.equal(await snapshots.of(a.volume.fcdId), before)
  const metadata = renamed(b.sealed['status'], 'back')
  const back = clone('moved', { ...snapshot['status'], metadata }, b.repositories.open)
  assert.equal(await endsInPlainHands(b, back, /^Completed /), [])
  assert.is(await sha256((await volumeOf(second, 'moved', 'back')).file), await sha256(a.volume.file))
})

two(
  "Velero of B restores A's Backup that it has found in the bucket, and takes its data along when it deletes it",
  async () => {
    const isKnown = async () => (await runOf(second, 'Backup', 'nightly')) !== undefined
    if (!(await isKnown())) await second.parts.velero?.findBackups()
    await until('Velero of B has found the backup', isKnown, 90_000)
    await second.velero('restore', 'create', 'back', '--from-backup', 'nightly', '--wait')
    const told = await second.velero('restore', 'describe', 'back', '--details')
    assert.is(await phaseOf(second, 'Restore', 'back'), 'Completed', told)
    assert.is(await sha256((await volumeOf(second, 'shop', 'cart')).file), cart)

    const [made] = await second.api.list(typeOf('CloneFromSnapshot').apiVersion, 'CloneFromSnapshot', 'shop')
    const { snapshotID, metadata, backupRepository } = made!['spec']
    const mine = clone('shop', { snapshotID, metadata: renamed({ metadata }, 'mine') }, backupRepository)
    assert.equal(await endsInPlainHands(b, mine, /^Failed NotPermitted: /), [])

    await second.velero('backup', 'delete', 'nightly', '--confirm')
    await until('it is gone', async () => !(await isKnown()), 60_000)
    const [{ spec, status } = a.sealed] = await first.api.list(typeOf('Snapshot').apiVersion, 'Snapshot', 'shop')
    const lost = clone('shop', { ...status, metadata: renamed(status, 'lost') }, spec.backupRepository)
    assert.equal(await endsInPlainHands(a, lost, /^Failed BackupNotFound/), [])
  },
)

two(
  'with one cluster-id in both by mistake each acts for the other as documented, and backups stay whole',
  async () => {
    await second.api.apply(secret(VSPHERE_SECRET, { 'csi-vsphere.conf': first.vcenter.configText(A) }))
    const unseen = await aVolume(first, 'unseen', 'unseen')
    const names = [a.volume.claim.metadata.name, 'unseen']
    // Before the disk is opened.
    holds = [holdStore(first, 'upload mover: PUT session/')]
    for (const name of names)
      await first.api.create(aSnapshot(`of-${name}`, { namespace: NAMESPACE, name }, a.repositories.named))
    await until('both uploads are held', () => holds[0]!.held() >= 2, 60_000)
    const { snapshotId } = parseDiskSnapshotId(diskIn(a.kept['status'].snapshotID))
    const before = await snapshots.of(unseen.fcdId)
    // Snapshots of running work go, those that are kept in vCenter stay, and so does everything on a disk that no object of B names.
    await snapshots.orphansGo(second, [a.volume.fcdId, unseen.fcdId], [[snapshotId], before])
    holds[0]!.release()
    await ended(a, 'of-unseen')
    await untilReason(first, 'Snapshot', NAMESPACE, `of-${names[0]}`, 'SnapshotNotFound')
    // A namespace of the same name counts as the same namespace.
    const object = clone(NAMESPACE, (await ended(a, 'late'))['status'], b.repositories.named)
    assert.equal(await wrongEnds(b, [{ what: 'restore', by: b.plain, object, ends: /^Completed / }]), [])
  },
)

two.run()
