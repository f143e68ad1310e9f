// The environment itself, with a function that only echoes: events reach it by Knative's rules, the real controllers bind volumes,
// and everything ends with the starter.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { KINDS } from '#shared/api/kinds.ts'
import type { Environment } from '#test/environment/environment.ts'
import { aSnapshot, type Echo, echoes, startEcho, until } from '#test/environment/fixtures/echo/start.ts'
import { STORAGE_CLASSES } from '#test/environment/seed.ts'
import { DELAY_KEY } from '#test/environment/storage/csi.ts'
import { claimOf, volumeOf } from '#test/environment/storage/volume.ts'

const MIB = 2 ** 20
let environment: Environment

const events = suite('events and functions')

events.before(async () => {
  environment = await startEcho({ idleMs: 1500 })
  await environment.createNamespace('app')
})

async function send(name: string, annotations: Record<string, string> = {}, labels = {}): Promise<Echo[]> {
  await environment.api.create(aSnapshot(name, annotations, labels))
  await until(`an event about ${name}`, () => echoes(environment, name).length > 0)
  return echoes(environment, name)
}

const deadLetter = (name: string) => () => echoes(environment, name).some(({ event }) => 'ce-knativeerrorcode' in event)

events('a created object wakes the function, from zero, by the real event source', async () => {
  assert.is(environment.activator.counts()['echo']?.instances, 0)
  const [echo] = await send('first')
  assert.is(echo?.event['ce-type'], 'dev.knative.apiserver.ref.add')
  assert.is(echo?.event['ce-kind'], 'Snapshot')
  assert.is(echo?.event['ce-namespace'], 'app')
  assert.type(echo?.uid, 'string', 'it read the object with its own rights')
  assert.is(environment.activator.counts()['echo']?.coldStartsMs.length, 1)
})

events('the function has the rights of its ServiceAccount and no others', async () => {
  assert.is(echoes(environment, 'first')[0]?.secret, 403)
})

events('variables and mounted files come from the manifests, options win, the user’s own stay out', async () => {
  const env = echoes(environment, 'first')[0]?.env
  assert.is(env?.['GREETING'], 'hello')
  assert.is(env?.['mounted'], 'hello')
  assert.is(env?.['POD_NAME'], 'echo-00001-1')
  assert.is(env?.['OVERRIDDEN'], 'by the options')
  assert.is(env?.['LEAKED'], undefined)
})

events('the step label decides: a change outside of the selector, or one that leaves it, causes no event', async () => {
  await environment.api.create(aSnapshot('gated', {}, { 'dormouse.dev/step': 'done' }))
  const ref = { apiVersion: KINDS.Snapshot.apiVersion, kind: 'Snapshot', namespace: 'app', name: 'gated' }
  await environment.api.patch(ref, { metadata: { annotations: { changed: 'yes' } } })
  await environment.api.patch(ref, { metadata: { labels: { 'dormouse.dev/step': 'snapshot' } } })
  await until('the label lets it in', () => echoes(environment, 'gated').length === 1)
  await environment.api.patch(ref, { metadata: { labels: { 'dormouse.dev/step': 'running' } } })
  await send('after-gated')
  assert.is(echoes(environment, 'gated').length, 1)
})

events('503 is tried again until it is good', async () => {
  await send('again', { answer: '503,503,202' })
  await until('three attempts', () => echoes(environment, 'again').length === 3)
  await until('delivered', () => environment.router.inFlight === 0)
  assert.not(deadLetter('again')())
})

events('what is refused for good goes to the dead letters at once, what is refused too often afterwards', async () => {
  await send('refused', { answer: '400' })
  await until('a dead letter', deadLetter('refused'))
  assert.equal(
    echoes(environment, 'refused').map(({ event }) => event['ce-knativeerrorcode']),
    [undefined, '400'],
  )
  await send('exhausted', { answer: '503' })
  await until('a dead letter', deadLetter('exhausted'))
  assert.is(echoes(environment, 'exhausted').filter(({ event }) => !('ce-knativeerrorcode' in event)).length, 3)
})

events('a body that is no event counts as 502', async () => {
  await send('talkative', { answer: 'body,202' })
  await until('tried again', () => echoes(environment, 'talkative').length === 2)
})

events('what takes longer than the limit is answered 504, and the process lives on', async () => {
  const before = environment.activator.counts()['echo']
  await send('slow', { slow: '2500', answer: '202,202,202' })
  await until('a 504', () => environment.activator.counts()['echo']?.byStatus['504'] !== undefined)
  assert.is(environment.activator.counts()['echo']?.coldStartsMs.length, before?.coldStartsMs.length)
  await environment.api.patch(
    { apiVersion: KINDS.Snapshot.apiVersion, kind: 'Snapshot', namespace: 'app', name: 'slow' },
    { metadata: { annotations: { slow: '0' } } },
  )
  await until('nothing on its way', () => environment.router.inFlight === 0)
})

events('a function that dies in the middle is started again for the next attempt', async () => {
  await send('deadly', { answer: 'die,die,die' })
  await until('a dead letter', deadLetter('deadly'))
  assert.ok(environment.activator.counts()['echo']!.byStatus['502']! >= 1)
})

events('more requests at a time than one instance takes start another, up to the scale', async () => {
  const names = ['p1', 'p2', 'p3', 'p4', 'p5', 'p6']
  await Promise.all(names.map((name) => environment.api.create(aSnapshot(name, { slow: '400' }))))
  await until('all delivered', () => names.every((name) => echoes(environment, name).length > 0))
  await until('nothing on its way', () => environment.router.inFlight === 0)
  assert.is(environment.activator.counts()['echo']?.mostInstances, 2)
})

events('what is idle goes to zero', async () => {
  await until('zero', () => environment.activator.counts()['echo']?.instances === 0)
})

events('events can be lost, doubled, held and delayed', async () => {
  environment.router.interfere = ({ event }) => ({ copies: { lost: 0, twice: 2 }[event.attributes['name'] ?? ''] ?? 1 })
  await environment.api.create(aSnapshot('lost'))
  await send('twice')
  await until('both copies', () => echoes(environment, 'twice').length === 2)
  assert.is(echoes(environment, 'lost').length, 0)
  environment.router.interfere = () => ({})
  environment.router.hold()
  await environment.api.create(aSnapshot('held'))
  await until('it waits', () => environment.router.inFlight === 1)
  environment.router.letGo()
  await until('it arrives', () => echoes(environment, 'held').length === 1)
})

events('while the event sources are down no change is announced, but the clock still ticks', async () => {
  await environment.stopAdapters()
  await environment.api.create(aSnapshot('unseen'))
  await environment.startAdapters()
  await environment.ping('tick')
  const ticks = () => echoes(environment).filter(({ event }) => event['ce-type'] === 'dev.knative.sources.ping')
  await until('a ping', () => ticks().length === 1)
  await send('seen')
  assert.is(echoes(environment, 'unseen').length, 0)
})
events.run()

const volumes = suite('volumes')

volumes('a claim is bound by the real controllers to a disk in vCenter', async () => {
  const volume = await environment.createVolume({ namespace: 'app', name: 'data', sizeBytes: 64 * MIB, cbt: true })
  const disk = await environment.vcenter.disk(volume.fcdId)
  assert.is(disk?.capacityBytes, 64 * MIB)
  assert.is(disk?.cbt, true)
  assert.is(volume.claim['spec'].volumeName, volume.volumeName)
})

volumes('a claim that waits for a consumer is provisioned when a node is chosen', async () => {
  const waiting = { namespace: 'app', name: 'waiting', sizeBytes: MIB, storageClass: STORAGE_CLASSES.waiting }
  const never = { ...waiting, name: 'never', storageClass: STORAGE_CLASSES.never }
  await environment.api.create(claimOf(waiting))
  await environment.api.create(claimOf(never))
  const slow = { namespace: 'app', name: 'slow', sizeBytes: MIB, annotations: { [DELAY_KEY]: '1000' } }
  const startMs = performance.now()
  await environment.createVolume(slow)
  assert.ok(performance.now() - startMs >= 1000, 'as late as it was asked to be')
  const phase = async (name: string) => {
    const ref = { apiVersion: 'v1', kind: 'PersistentVolumeClaim', namespace: 'app', name }
    return (await environment.api.get(ref))?.['status'].phase
  }
  assert.is(await phase('waiting'), 'Pending')
  await environment.api.patch(
    { apiVersion: 'v1', kind: 'PersistentVolumeClaim', namespace: 'app', name: 'waiting' },
    { metadata: { annotations: { 'volume.kubernetes.io/selected-node': 'dormouse-node-1' } } },
  )
  await volumeOf(environment, 'app', 'waiting')
  assert.is(await phase('never'), 'Pending')
})

volumes('a deleted claim takes its volume and its disk along', async () => {
  const { fcdId, volumeName } = await volumeOf(environment, 'app', 'data')
  await environment.kubectl('delete', 'pvc', 'data', '-n', 'app', '--wait=false')
  await environment.waitFor('PersistentVolume', undefined, volumeName, (volume) => volume === undefined)
  assert.is(await environment.vcenter.disk(fcdId), undefined)
  assert.equal(environment.parts.csi.problems, [])
})

volumes('a volume whose policy is Retain outlives its claim, and its disk goes with a Delete by hand', async () => {
  const { fcdId, volumeName } = await environment.createVolume({ namespace: 'app', name: 'kept', sizeBytes: MIB })
  const ref = { apiVersion: 'v1', kind: 'PersistentVolume', name: volumeName }
  await environment.api.patch(ref, { spec: { persistentVolumeReclaimPolicy: 'Retain' } })
  await environment.kubectl('delete', 'pvc', 'kept', '-n', 'app')
  await environment.waitFor(
    'PersistentVolume',
    undefined,
    volumeName,
    (volume) => volume?.['status'].phase === 'Released',
  )
  assert.ok(await environment.vcenter.disk(fcdId))
  await environment.api.patch(ref, { spec: { persistentVolumeReclaimPolicy: 'Delete' } })
  await environment.waitFor('PersistentVolume', undefined, volumeName, (volume) => volume === undefined)
  assert.is(await environment.vcenter.disk(fcdId), undefined)
})

volumes('the bucket is there and empty', async () => {
  assert.equal(await environment.bucketObjects(), [])
})

volumes.after(async () => {
  await environment.stop()
})
volumes.run()
