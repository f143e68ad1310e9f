// Rules that say which call fails and how. The proxies apply them, and record all calls.

import type { IncomingHttpHeaders } from 'node:http'
import type { Caller } from './callers.ts'
import type { ServerName } from './write-points.ts'

export type Call = {
  server: ServerName
  caller: Caller
  /** Of its kind, see write-points.ts. */
  name: string
  writes: boolean
  /** `<caller>: <name>`: the text that a rule's pattern is matched with. */
  point: string
  headers: IncomingHttpHeaders
}

/** What happens to the server's answer, or what the caller gets instead. */
export type Fault = {
  /** The server does not get the call. */
  answer?: { status: number; headers?: Record<string, string>; body?: string }
  /** The connection breaks before the server gets the call, or after the server has done it. */
  reset?: 'before' | 'after'
  /** How fast the answer arrives. */
  bytesPerSecond?: number
  /** The answer is cut off after so many bytes of its body. */
  truncateAtBytes?: number
}

export type Rule = {
  /** A pattern for the call's point; a text has to match the whole of it. */
  match: string | RegExp
  server?: ServerName
  /** A further condition on the calls that match. */
  where?: (call: Call) => boolean
  /** The first of these calls to which the rule applies, from 1 on. */
  nth?: number
  /** How many calls from there on; default 1. */
  times?: number
  fault?: Fault
  /** Awaited before the server gets the call. */
  before?: (call: Call) => Promise<void> | void
  /** Awaited when the server has answered, before the caller gets the answer. */
  after?: (call: Call) => Promise<void> | void
}

type Watched = { rule: Rule; seen: number; hits: number }

export class FaultPlan {
  /** Every call that came, in order. */
  readonly calls: Call[] = []
  private watched: Watched[] = []

  /** Adds a rule from now on; `hits` counts how often it applied. */
  add(rule: Rule): { hits: () => number; remove: () => void } {
    const watched: Watched = { rule, seen: 0, hits: 0 }
    this.watched.push(watched)
    return {
      hits: () => watched.hits,
      remove: () => {
        this.watched = this.watched.filter((one) => one !== watched)
      },
    }
  }

  clear(): void {
    this.watched = []
  }

  /** The points of all writes since `from`, each once, in the order of their first appearance. */
  points(from = 0): string[] {
    return [
      ...new Set(
        this.calls
          .slice(from)
          .filter((call) => call.writes)
          .map((call) => call.point),
      ),
    ]
  }

  /** Counts the call for every rule; returns the rules that apply to it. */
  met(call: Call): Rule[] {
    this.calls.push(call)
    return this.watched.filter((one) => counts(one, call)).map(({ rule }) => rule)
  }
}

function counts(watched: Watched, call: Call): boolean {
  const { match, server, where, nth = 1, times = 1 } = watched.rule
  if (server !== undefined && server !== call.server) return false
  if (typeof match === 'string' ? match !== call.point : !match.test(call.point)) return false
  if (where?.(call) === false) return false
  watched.seen++
  if (watched.seen < nth || watched.seen >= nth + times) return false
  watched.hits++
  return true
}
