// What goes wrong with which call: rules that the proxies ask, and the record of all calls that passed.

import type { IncomingHttpHeaders } from 'node:http'
import type { Caller } from './callers.ts'
import type { ServerName } from './write-points.ts'

export type Call = {
  server: ServerName
  caller: Caller
  /** Of its kind, see write-points.ts. */
  name: string
  writes: boolean
  /** `<caller>: <name>`, what a rule's pattern is matched with. */
  point: string
  headers: IncomingHttpHeaders
}

/** What the caller gets instead of, or on the way of, the server's answer. */
export type Fault = {
  /** Nothing reaches the server. */
  answer?: { status: number; headers?: Record<string, string>; body?: string }
  /** The connection breaks: before anything reaches the server, or when the server has done it. */
  reset?: 'before' | 'after'
  /** The answer's pace. */
  bytesPerSecond?: number
  /** The answer is cut off after so many bytes of its body. */
  truncateAtBytes?: number
}

export type Rule = {
  /** Matched with the call's point; a text has to be the whole of it. */
  match: string | RegExp
  server?: ServerName
  /** Of the calls that match, those that it holds for. */
  where?: (call: Call) => boolean
  /** The first of the matching calls that it holds for, from 1 on. */
  nth?: number
  /** For how many calls from there on; 1 without a word. */
  times?: number
  fault?: Fault
  /** Awaited before anything reaches the server. */
  before?: (call: Call) => Promise<void> | void
  /** Awaited when the server has answered, before the caller hears of it. */
  after?: (call: Call) => Promise<void> | void
}

type Watched = { rule: Rule; seen: number; hits: number }

export class FaultPlan {
  /** Every call that came, in order. */
  readonly calls: Call[] = []
  private watched: Watched[] = []

  /** Holds from now on; `hits` tells how often it was met. */
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

  /** Counts the call for every rule; answers with those that are met. */
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
