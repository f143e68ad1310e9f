// How the environment reads Knative Services, and the certificates of its servers.

import { X509Certificate } from 'node:crypto'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { Authority } from '#test/environment/kubernetes/certificates.ts'
import { Ports } from '#test/environment/process/ports.ts'
import { localAddresses } from '#test/environment/serving/function-env.ts'
import { functionSpec } from '#test/environment/serving/function-spec.ts'
import { ScaledFunction } from '#test/environment/serving/scaled-function.ts'
import { bytesOf, quantity } from '#test/environment/storage/csi.ts'
import type { LooseObject } from '#test/support/loose-object.ts'

const specs = suite('Knative Services')

function aService(spec: object, annotations: Record<string, string> = {}): LooseObject {
  const container = { command: ['node', '/dormouse/dormouse-upload.mjs'] }
  return {
    apiVersion: 'serving.knative.dev/v1',
    kind: 'Service',
    metadata: { name: 'dormouse-upload', namespace: 'velero' },
    spec: { template: { metadata: { annotations }, spec: { containers: [container], ...spec } } },
  }
}

specs('the step is the name without the product’s, the bundle is what the command names', () => {
  const { step, bundle } = functionSpec(aService({}))
  assert.equal([step, bundle], ['upload', 'dormouse-upload.mjs'])
})

specs('a time limit above 300 s holds only when the response’s start has one as well', () => {
  assert.is(functionSpec(aService({ timeoutSeconds: 600 })).timeoutMs, 300_000)
  assert.is(functionSpec(aService({ timeoutSeconds: 600, responseStartTimeoutSeconds: 600 })).timeoutMs, 600_000)
  assert.is(functionSpec(aService({ timeoutSeconds: 120 })).timeoutMs, 120_000)
  assert.is(functionSpec(aService({})).timeoutMs, 300_000)
})

specs('a target scales, a limit queues: they are two things', () => {
  const soft = functionSpec(aService({ containerConcurrency: 0 }, { 'autoscaling.knative.dev/target': '1' }))
  assert.equal([soft.target, soft.concurrency], [1, Number.POSITIVE_INFINITY])
  const hard = functionSpec(aService({ containerConcurrency: 10 }))
  assert.equal([hard.target, hard.concurrency, hard.maxScale], [10, 10, undefined])
})

specs('names of Services in a cluster become addresses here', () => {
  const env = {
    BROKER: 'http://broker-ingress.knative-eventing.svc.cluster.local/velero/dormouse',
    KAFKA: 'http://kafka-broker-ingress.knative-eventing.svc.cluster.local/velero/dormouse',
    FUNCTION: 'http://dormouse-{step}.velero.svc.cluster.local',
    ELSEWHERE: 'https://s3.example.com/bucket',
  }
  assert.equal(localAddresses(env, { router: 'http://r', activator: 'http://a' }), {
    BROKER: 'http://r/velero/dormouse',
    KAFKA: 'http://r/velero/dormouse',
    FUNCTION: 'http://a/dormouse-{step}',
    ELSEWHERE: 'https://s3.example.com/bucket',
  })
})

specs(
  'when a function cannot start, waiting requests get its error, and a request that gives up leaves the queue',
  async () => {
    const broken = new ScaledFunction(functionSpec(aService({})), () => Promise.reject(new Error('no bundle')))
    const failure = await broken.acquire(new AbortController().signal).catch((error: Error) => error.message)
    assert.is(failure, 'no bundle')
    const slow = new ScaledFunction(functionSpec(aService({})), () => new Promise(() => {}))
    const giveUp = new AbortController()
    const waiting = slow.acquire(giveUp.signal).catch((error: Error) => error.message)
    giveUp.abort(new Error('late'))
    assert.is(await waiting, 'late')
  },
)
specs.run()

const certificates = suite('certificates')

certificates('a server’s certificate is vouched for by the authority, for its names only', () => {
  const authority = new Authority()
  const ca = new X509Certificate(authority.certPem)
  const server = new X509Certificate(authority.serverCertificate(['127.0.0.1', 'localhost']).certPem)
  assert.ok(ca.ca)
  assert.ok(server.verify(ca.publicKey))
  assert.ok(server.checkIssued(ca))
  assert.is(server.checkIP('127.0.0.1'), '127.0.0.1')
  assert.is(server.checkHost('localhost'), 'localhost')
  assert.is(server.checkHost('example.com'), undefined)
  assert.not(server.verify(new X509Certificate(new Authority().certPem).publicKey))
})
certificates.run()

const machine = suite('ports and sizes')

machine('a port that one environment holds is given to no other', async () => {
  const [one, other] = [new Ports(), new Ports()]
  const taken = new Set<number>()
  for (let n = 0; n < 20; n++) taken.add(await one.take()).add(await other.take())
  assert.is(taken.size, 40)
  one.release()
  other.release()
})

machine('sizes of claims are read and written as Kubernetes does', () => {
  assert.equal(['64Mi', '1.5Gi', '10G', '4096'].map(bytesOf), [67_108_864, 1_610_612_736, 10_000_000_000, 4096])
  assert.equal([quantity(2 ** 30), quantity(2 ** 26), quantity(1)], ['1Gi', '64Mi', '1Mi'])
  assert.throws(() => bytesOf('many'), /no size/)
})
machine.run()
