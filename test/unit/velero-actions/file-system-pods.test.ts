// A namespace may have many large Pods and many claims. The plugin reads the Pods once for all claims, and uses what it has read only where no
// data can be lost by it.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { RetryableError } from '#shared/kernel/errors.ts'
import { MINUTE_MS } from '#shared/kernel/units.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { pvcBackupper } from '../../../velero/actions/backupper.ts'
import { fileSystemPods } from '../../../velero/actions/file-system-pods.ts'
import { aBackup, aClaim, aPod, aReadyWorld, aWorld, type World } from './support.ts'

const pods = suite('the Pods of a namespace')

const INCLUDES = 'backup.velero.io/backup-volumes'
const backup = aBackup()

function claimOf(index: number, namespace = 'shop'): LooseObject {
  const claim = aClaim()
  const uid = `5d8e2f7a-1c3b-4e6d-8f90-${String(index).padStart(12, '0')}`
  return { ...claim, metadata: { ...claim.metadata, name: `claim-${index}`, namespace, uid } }
}

/** A Pod that uses `claim-<index>`, whose volume File System Backup takes. */
function seedPod({ cluster }: World, index: number, namespace = 'shop', phase = 'Running'): LooseObject {
  const pod = aPod({ [INCLUDES]: 'data' }, phase)
  const volumes = [{ name: 'data', persistentVolumeClaim: { claimName: `claim-${index}` } }]
  const metadata = { ...pod.metadata, name: `pod-${index}`, namespace }
  return cluster.seed('Pod', { ...pod, metadata, spec: { ...pod['spec'], volumes } })
}

/** How many Pods were read, and in how many calls. */
function counted({ cluster }: World): { calls: number; objects: number; reads: number } {
  const count = { calls: 0, objects: 0, reads: 0 }
  const [list, page, read] = [cluster.list.bind(cluster), cluster.page.bind(cluster), cluster.read.bind(cluster)]
  cluster.list = async (kind, options) => {
    const found = await list(kind, options)
    if (kind === 'Pod') count.calls += 1
    if (kind === 'Pod') count.objects += found.length
    return found
  }
  cluster.page = async (kind, options, from) => {
    const found = await page(kind, options, from)
    if (kind === 'Pod') count.calls += 1
    if (kind === 'Pod') count.objects += found.objects.length
    return found
  }
  cluster.read = async (kind, namespace, name) => {
    if (kind === 'Pod') count.reads += 1
    return await read(kind, namespace, name)
  }
  return count
}

pods('are read once for all its claims, and as often again for another Backup', async () => {
  const world = aReadyWorld()
  for (let index = 0; index < 700; index++) seedPod(world, 1000 + index)
  const count = counted(world)
  const action = pvcBackupper(world.deps)
  for (let index = 0; index < 40; index++) {
    assert.is.not((await action.execute(claimOf(index), backup, world.log)).operationId, '')
  }
  assert.equal(count, { calls: 2, objects: 700, reads: 0 })
  const other = aBackup({ defaultVolumesToFsBackup: true })
  const next = { ...other, metadata: { ...other.metadata, uid: '1b9f3c1e-8f0a-4f52-9d0e-4a1d8e9f1a2b' } }
  assert.is((await action.execute(claimOf(1000), next, world.log)).operationId, '', 'File System Backup takes it')
  assert.is(count.objects, 1400)
})

pods('are read once, too, when several claims are asked about at one time', async () => {
  const world = aWorld()
  seedPod(world, 7)
  const count = counted(world)
  const podOf = fileSystemPods(world.deps)
  const found = await Promise.all([7, 8, 9].map((index) => podOf(claimOf(index), backup)))
  assert.equal([found, count.calls], [['pod-7', undefined, undefined], 1])
})

pods('that are gone, or do not run any more, leave their claims to us', async () => {
  const world = aWorld()
  const [first, second] = [seedPod(world, 1), seedPod(world, 2)]
  const podOf = fileSystemPods(world.deps)
  assert.is(await podOf(claimOf(3), backup), undefined)
  await world.cluster.delete('Pod', first)
  await world.cluster.patchStatus('Pod', second, { phase: 'Succeeded' })
  assert.equal([await podOf(claimOf(1), backup), await podOf(claimOf(2), backup)], [undefined, undefined])
  seedPod(world, 4)
  await world.deps.clock.sleep(5 * MINUTE_MS)
  assert.is(await podOf(claimOf(4), backup), 'pod-4', 'one that has come counts five minutes later')
})

pods('of another namespace say nothing', async () => {
  const world = aWorld()
  seedPod(world, 1, 'other')
  const podOf = fileSystemPods(world.deps)
  const both = [await podOf(claimOf(1), backup), await podOf(claimOf(1, 'other'), backup)]
  assert.equal(both, [undefined, 'pod-1'])
})

pods('are read again after a failure', async () => {
  const world = aWorld()
  seedPod(world, 1)
  const { page } = world.cluster
  world.cluster.page = () => Promise.reject(new RetryableError('KubernetesUnavailable', 'away'))
  const podOf = fileSystemPods(world.deps)
  const reason = await podOf(claimOf(1), backup).catch((error: RetryableError) => error.reason)
  assert.is(reason, 'KubernetesUnavailable')
  world.cluster.page = page
  assert.is(await podOf(claimOf(1), backup), 'pod-1')
})

pods.run()
