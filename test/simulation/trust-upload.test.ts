// What a tenant writes neither lets an upload use a repository that is closed to the namespace, nor keeps a slot from other tenants.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { HOUR_MS, KiB } from '#shared/kernel/units.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { noiseOf } from './choices.ts'
import { NO_FAULTS } from './fault-plan.ts'
import { aSnapshot, aVolume, isDone } from './objects.ts'
import { allowing, World } from './world.ts'

const trust = suite("a tenant's upload")

const uploadsOf = (world: World, namespace: string) =>
  world.cluster.peekAll('Upload').filter(({ spec }) => spec?.snapshotReference?.startsWith(`${namespace}/`))

function aDisk(world: World, name: string, namespace: string): string {
  const fcdId = aVolume(world, name, namespace)
  world.volumes.write(fcdId, 0, noiseOf(name, 64 * KiB))
  return fcdId
}

/** `prod` is named by a Snapshot before it exists; `br` is closed after the snapshot function has checked it. */
const CLOSINGS: Record<string, (world: World) => unknown> = {
  prod: (world) =>
    world.cluster.seed('BackupRepository', {
      apiVersion: 'backupdriver.cnsdp.vmware.com/v1alpha1',
      kind: 'BackupRepository',
      metadata: { name: 'prod' },
      allowedNamespaces: ['another'],
    }),
  br: (world) => allowing(world, ['another']),
}

for (const [repository, close] of Object.entries(CLOSINGS))
  trust(`a repository that is closed to the namespace when a slice begins is not opened (${repository})`, async () => {
    const world = await allowing(new World(3, NO_FAULTS), [])
    const fcdId = aDisk(world, 'mine', 'spy')
    aSnapshot(world, 's', 'mine', repository, 'spy')
    while (uploadsOf(world, 'spy').length === 0) await world.turn()
    await close(world)
    await world.run(() => isDone(world.cluster.peek('Snapshot', 'spy', 's')))
    const [upload] = uploadsOf(world, 'spy')
    const { phase, reason, session } = upload?.['status'] ?? {}
    assert.equal([phase, reason, session], ['UploadFailedAfterRetry', 'NamespaceNotAllowed', undefined])
    assert.equal([world.bucket.backups.size, world.volumes.snapshotsOf(fcdId)], [0, []])
  })

/** The user writes to the Snapshot each time that its Upload has read it and is about to write to it. */
function editAllTheTime(world: World, namespace: string): void {
  const patchStatus = world.cluster.patchStatus.bind(world.cluster)
  const slices = ({ metadata }: LooseObject) =>
    uploadsOf(world, namespace).some(
      ({ spec, status }) => spec?.snapshotReference === `${namespace}/${metadata.name}` && Number(status?.slice) > 0,
    )
  let edits = 0
  world.cluster.patchStatus = async (kind, object, status) => {
    if (kind === 'Snapshot' && object.metadata.namespace === namespace && slices(object)) {
      const seen = { metadata: { namespace, name: object.metadata.name } } as LooseObject
      await world.cluster.patch('Snapshot', seen, { metadata: { annotations: { edit: String(++edits) } } })
    }
    return await patchStatus(kind, object, status)
  }
}

trust('a tenant that keeps writing to a Snapshot gains no slot, and keeps no other transfer from one', async () => {
  const world = await allowing(new World(1, NO_FAULTS), [])
  for (const name of ['a', 'b']) {
    aDisk(world, name, 'flood')
    aSnapshot(world, name, name, 'br', 'flood')
  }
  while (uploadsOf(world, 'flood').length < 2) await world.turn()
  editAllTheTime(world, 'flood')
  aDisk(world, 'data', 'app')
  aSnapshot(world, 'victim', 'data', 'br', 'app')
  const victim = () => world.cluster.peek('Snapshot', 'app', 'victim')
  const from = world.clock.nowMs()
  await world.run(() => isDone(victim()) || world.clock.nowMs() - from > 6 * HOUR_MS)
  assert.is(victim()?.['status']?.phase, 'Uploaded')
  await world.run(() => uploadsOf(world, 'flood').every(isDone))
  assert.equal(
    uploadsOf(world, 'flood').map(({ status }) => status?.phase),
    ['Completed', 'Completed'],
  )
})

trust.run()
