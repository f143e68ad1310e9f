// Only Knative reaches the functions' pods, and the policy covers every function.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { FUNCTIONS, named, objectsIn, ofKind } from './load.ts'

const objects = objectsIn('config')
const policy = named(objects, 'NetworkPolicy', 'dormouse-functions')
const network = suite('config/network')
/** Where Knative's queue-proxy takes requests; the function's own port is 8080. */
const REQUEST_PORTS = [8012, 8013, 8112]

type Peer = { namespaceSelector?: { matchLabels?: object; matchExpressions?: { key: string; values: string[] }[] } }
type Rule = { from?: Peer[]; ports?: { port: number }[] }

network('the policy lies beside the functions and is applied with them', () => {
  assert.is(policy.metadata.namespace, 'velero')
  assert.is(ofKind(objects, 'NetworkPolicy').length, 1)
})

network('the policy covers the pods of every Service, and no other pods', () => {
  const [{ key, operator, values }] = policy['spec'].podSelector.matchExpressions
  assert.equal([key, operator], ['serving.knative.dev/service', 'In'])
  const services = ofKind(objects, 'Service').map(({ metadata }) => metadata.name)
  assert.equal([...values].sort(), services.sort())
  assert.is(services.length, FUNCTIONS.length)
})

network('only namespaces of Knative are let in, by name, and none gets past queue-proxy', () => {
  assert.equal(policy['spec'].policyTypes, ['Ingress'])
  const rules = policy['spec'].ingress as Rule[]
  assert.ok(rules.length > 0)
  for (const { from = [], ports = [] } of rules) {
    assert.ok(from.length > 0 && ports.length > 0, 'an empty list would let in everybody, by every port')
    for (const peer of from) assert.equal(Object.keys(peer), ['namespaceSelector'])
    assert.not.ok(ports.some(({ port }) => port === 8080))
  }
  assert.equal(
    rules[0]?.ports?.map(({ port }) => port),
    REQUEST_PORTS,
  )
  const [{ key, values } = { key: '', values: [] }] = rules[0]?.from?.[0]?.namespaceSelector?.matchExpressions ?? []
  assert.equal(
    [key, values],
    ['kubernetes.io/metadata.name', ['knative-serving', 'knative-eventing', 'kourier-system']],
  )
})

network.run()
