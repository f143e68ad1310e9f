// The decisions of the fault bench: the name of a call, the rule that applies to it, and what a bad broker does to an event.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { unreliable } from '#test/environment/faults/delivery.ts'
import { type Call, FaultPlan } from '#test/environment/faults/fault-plan.ts'
import { nameCall } from '#test/environment/faults/write-points.ts'
import { Random } from '#test/simulation/random.ts'

const points = suite('names of write points')
const named = (...[server, method, url, body = '']: [Parameters<typeof nameCall>[0], string, string, string?]) =>
  nameCall(server, method, url, Buffer.from(body)).name

points('a patch is named by its resource, phase and step, never by the object', () => {
  const base = '/apis/backupdriver.cnsdp.vmware.com/v1alpha1/namespaces/shop/snapshots/snap-1'
  const change = { metadata: { labels: { 'dormouse.dev/step': 'running' }, finalizers: ['x'] } }
  assert.is(named('kubernetes', 'PATCH', base, JSON.stringify(change)), 'PATCH snapshots step=running finalizers=1')
  const status = JSON.stringify({ status: { phase: 'New', message: 'since 12:00' } })
  assert.is(named('kubernetes', 'PATCH', `${base}/status`, status), 'PATCH snapshots/status phase=New')
  assert.is(
    named('kubernetes', 'DELETE', '/api/v1/namespaces/shop/persistentvolumeclaims/a'),
    'DELETE persistentvolumeclaims',
  )
  assert.is(
    named('kubernetes', 'PATCH', '/api/v1/persistentvolumes/pv-1', '{"spec":{"claimRef":{}}}'),
    'PATCH persistentvolumes claimRef',
  )
})

points('a Lease is named by whose it is, and whether it is taken or let go', () => {
  const leases = '/apis/coordination.k8s.io/v1/namespaces/velero/leases'
  const held = JSON.stringify({ metadata: { name: 'dormouse-slot-1' }, spec: { holderIdentity: 'me' } })
  assert.is(named('kubernetes', 'POST', leases, held), 'POST leases dormouse-slot hold')
  const free = JSON.stringify({ spec: { holderIdentity: null } })
  assert.is(named('kubernetes', 'PATCH', `${leases}/upload-lease.upload-7`, free), 'PATCH leases upload-lease free')
})

points('reads and watches are no writes', () => {
  const watch = nameCall('kubernetes', 'GET', '/api/v1/pods?watch=true', Buffer.alloc(0))
  assert.equal(watch, { name: 'WATCH pods', writes: false })
  assert.is(nameCall('s3', 'GET', '/b/dormouse/packs/x', Buffer.alloc(0)).writes, false)
  assert.is(nameCall('s3', 'PUT', '/b/dormouse/packs/x', Buffer.alloc(0)).writes, true)
})

points('an object in the bucket is named by its folder, with and without a prefix', () => {
  assert.is(named('s3', 'PUT', '/dormouse/dormouse/packs/S/00000001'), 'PUT packs/')
  assert.is(named('s3', 'PUT', '/bucket/some/prefix/dormouse/roots/S?x-id=PutObject'), 'PUT roots/')
  assert.is(named('s3', 'PUT', '/bucket/dormouse/config'), 'PUT config')
  assert.is(named('s3', 'POST', '/bucket/dormouse/packs/S/1?uploads'), 'POST packs/?uploads')
})

points('a call to vCenter is named by its SOAP method', () => {
  const envelope = (inner: string) =>
    `<?xml version="1.0"?><soapenv:Envelope><soapenv:Body>${inner}</soapenv:Body></soapenv:Envelope>`
  const call = (inner: string) => nameCall('vcenter', 'POST', '/vslm/sdk', Buffer.from(envelope(inner)))
  assert.equal(call('<VslmDeleteSnapshot_Task xmlns="urn:vslm">'), {
    name: 'SOAP VslmDeleteSnapshot_Task',
    writes: true,
  })
  assert.equal(call('<vslm:VslmQueryInfo>'), { name: 'SOAP VslmQueryInfo', writes: false })
})
points.run()

const plan = suite('plan')
const aCall = (point: string, writes = true): Call => {
  const [label = '', name = ''] = point.split(': ')
  return { server: 's3', caller: { label, pid: 1 }, name, writes, headers: {}, point }
}

plan('a rule applies from its n-th call on, for a number of calls', () => {
  const faults = new FaultPlan()
  const rule = faults.add({ match: 'upload mover: PUT packs/', nth: 2, times: 2 })
  const met = () => faults.met(aCall('upload mover: PUT packs/')).length
  assert.equal([met(), met(), met(), met()], [0, 1, 1, 0])
  assert.is(rule.hits(), 2)
  rule.remove()
})

plan('a text matches the whole point, a pattern matches a part, and a rule applies to one server only', () => {
  const faults = new FaultPlan()
  faults.add({ match: 'upload: PUT', times: 9 })
  faults.add({ match: /PUT packs/, server: 'vcenter', times: 9 })
  assert.is(faults.met(aCall('upload: PUT packs/')).length, 0)
  faults.add({ match: /PUT packs/, times: 9 })
  assert.is(faults.met(aCall('upload: PUT packs/')).length, 1)
})

plan('a rule may ask for more than the name, such as a header, and counts only what it holds for', () => {
  const faults = new FaultPlan()
  const rule = faults.add({ match: /PUT/, where: ({ headers }) => headers['x-odd'] !== undefined, times: 9 })
  assert.is(faults.met(aCall('upload: PUT packs/')).length, 0)
  assert.is(faults.met({ ...aCall('upload: PUT packs/'), headers: { 'x-odd': '1' } }).length, 1)
  assert.is(rule.hits(), 1)
})

plan('the points are the writes, each once, in their order', () => {
  const faults = new FaultPlan()
  for (const point of ['a: PUT b', 'a: PUT a', 'a: PUT b']) faults.met(aCall(point))
  faults.met(aCall('a: GET c', false))
  assert.equal(faults.points(), ['a: PUT b', 'a: PUT a'])
  assert.equal(faults.points(1), ['a: PUT a', 'a: PUT b'])
})
plan.run()

const broker = suite('a bad broker')
const passage = (trigger: string) => ({
  trigger,
  event: { attributes: {}, contentType: undefined, body: Buffer.alloc(0) },
})

broker('loses, doubles and reorders, the same for the same seed, and only where it is told to', () => {
  const how = { drop: 0.3, double: 0.3, reorder: 0.5, delayMs: 800, triggers: ['upload'] }
  const run = () => {
    const interfere = unreliable(new Random(7), how)
    return Array.from({ length: 200 }, () => interfere(passage('upload')))
  }
  const first = run()
  assert.equal(first, run())
  const share = (is: (one: { copies?: number; delayMs?: number }) => boolean) => first.filter(is).length / first.length
  assert.ok(Math.abs(share(({ copies }) => copies === 0) - 0.3) < 0.1)
  assert.ok(share(({ copies }) => copies === 2) > 0.1)
  const delays = first.map(({ delayMs = 0 }) => delayMs)
  assert.ok(Math.max(...delays) > 700 && Math.max(...delays) <= 800)
  assert.ok(delays.some((ms) => ms === 0))
  assert.equal(unreliable(new Random(7), how)(passage('sweep')), {})
})
broker.run()
