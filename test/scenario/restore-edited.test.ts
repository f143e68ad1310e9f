// A restore goes by what was decided on: whoever edits the CloneFromSnapshot meanwhile changes nothing, or ends their own restore.

import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { KubeObject } from '#shared/api/kinds.ts'
import { aBackup, aClone, isDone } from './objects.ts'
import { allowing, World } from './world.ts'

const cloneIn = (world: World, namespace: string) =>
  world.cluster.peek('CloneFromSnapshot', namespace, 'clone-1') as KubeObject

async function edit(world: World, namespace: string, spec: object): Promise<void> {
  const seen = { metadata: { namespace, name: 'clone-1' } } as KubeObject
  await world.cluster.patch('CloneFromSnapshot', seen, { spec })
}

function aClosedRepository(world: World): void {
  world.cluster.seed('BackupRepository', {
    apiVersion: 'backupdriver.cnsdp.vmware.com/v1alpha1',
    kind: 'BackupRepository',
    metadata: { name: 'closed' },
    allowedNamespaces: ['somebody-else'],
    repopsitoryParameters: { bucket: 'theirs' },
  })
}

for (const namespace of ['app', 'spy'])
  test(`a repository that ${namespace} writes into its clone while the disk is made is never named by a Download`, async () => {
    const world = await allowing(new World(3), [])
    const snapshot = await aBackup(world)
    aClosedRepository(world)
    const data = world.cluster.peek('PersistentVolumeClaim', 'app', 'data') as KubeObject
    await world.cluster.delete('PersistentVolumeClaim', data)
    aClone(world, 'clone-1', snapshot, { namespace })
    while (cloneIn(world, namespace)['status']?.reason !== 'Provisioning') await world.turn()
    await edit(world, namespace, { backupRepository: 'closed' })
    await world.run(() => isDone(cloneIn(world, namespace)) && world.cluster.peekAll('Download').every(isDone))
    const names = world.cluster.peekAll('Download').map((download) => download['spec'].backupRepositoryName)
    assert.equal(names, ['br'], world.describe())
  })

test.run()
