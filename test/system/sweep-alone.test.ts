// The event sources are stopped from the start: the sweep alone brings all work to its right end, and counts that it had to.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { type Environment, startEnvironment } from '#test/environment/environment.ts'
import { type Backup, backUp, claimRepository, type Restore, remove, restore } from '#test/environment/main-job.ts'
import { noise, sha256, writePieces } from '#test/environment/storage/content.ts'
import type { Volume } from '#test/environment/storage/volume.ts'
import { isHeldClaim } from '#test/support/held-claim.ts'
import { sumOf } from './support/metrics.ts'

const MIB = 2 ** 20
const CLAIM = { namespace: 'shop', name: 'orders' }
const WAITING = { timeoutMs: 120_000 }
const KINDS = ['BackupRepositoryClaim', 'Snapshot', 'Upload', 'CloneFromSnapshot', 'Download', 'DeleteSnapshot']

const sweepAlone = suite('the sweep alone')
let environment: Environment
let volume: Volume
let backup: Backup
let restored: Restore

sweepAlone.before(async () => {
  environment = await startEnvironment({
    adapters: false,
    pingEveryMs: { 'dormouse-sweep': 1000 },
    env: { DORMOUSE_DUE_SECONDS: '1', DORMOUSE_SLICE_SECONDS: '2', FAKE_VDDK_MBPS: '8' },
    // The counts of a sweep are lost with its instance.
    idleMs: 120_000,
  })
})
sweepAlone.after(async () => {
  await environment.stop()
})

sweepAlone('a backup, its restore and its deletion end right', async () => {
  const repository = await claimRepository(environment, WAITING)
  volume = await environment.createVolume({ ...CLAIM, sizeBytes: 48 * MIB })
  await writePieces(volume.file, [{ offsetBytes: MIB, data: noise('orders', 40 * MIB) }])
  backup = await backUp(environment, CLAIM, repository, WAITING)
  assert.ok(backup.upload['status'].slice >= 2, 'it took several slices')
  restored = await restore(environment, backup, 'restored', WAITING)
  assert.is(await sha256(restored.volume.file), await sha256(volume.file))
  await remove(environment, backup, WAITING)
})

sweepAlone('no event of a source was among what woke the functions', () => {
  const types = new Set(environment.router.attempts.map(({ attributes }) => attributes['type']))
  assert.equal([...types], ['dev.dormouse.wake'])
})

sweepAlone('the rescues are counted, one at least for each object', async () => {
  const texts = await environment.metricsOf('sweep')
  assert.is(texts.length, 1, 'one instance has counted all')
  const rescued = (kind: string) => sumOf(texts[0]!, 'dormouse_sweep_wakeups_total', { kind, cause: 'rescue' })
  for (const kind of KINDS) assert.ok(rescued(kind) >= 1, kind)
  assert.ok(rescued('Upload') >= backup.upload['status'].slice, 'each slice was a rescue')
})

sweepAlone('nothing is left behind: no local snapshot, no staging claim, no Lease', async () => {
  for (const disk of (await environment.vcenterState()).fcds) assert.equal(disk.snapshots, [], disk.name)
  const claims = await environment.api.list('v1', 'PersistentVolumeClaim')
  assert.equal(claims.map(({ metadata }) => `${metadata.namespace}/${metadata.name}`).sort(), [
    'restored/orders',
    'shop/orders',
  ])
  const leases = await environment.api.list('coordination.k8s.io/v1', 'Lease', 'velero')
  const held = leases.filter(isHeldClaim)
  assert.equal(held, [])
})
sweepAlone.run()
