/** The canvas that the tree is drawn on, and the hands on it: drag, wheel, pinch and keys. */
import { h } from '../page/dom.ts'
import type { Range } from '../page/steps.ts'
import { type Colors, colorsNow } from './colors.ts'
import { draw, MARK, READABLE, rowAt, type Scene, type Size, type View } from './draw.ts'
import { CARD } from './layout.ts'
import { overview } from './overview.ts'

export interface StageOptions {
  readonly scene: Scene
  readonly range: Range
  /** Somebody chose a row; −1: none. */
  readonly onSelect: (place: number) => void
  /** Somebody asked for what is folded into a row. */
  readonly onOpen: (place: number) => void
}

export interface Stage {
  readonly element: HTMLCanvasElement
  readonly show: (scene: Scene) => void
  readonly fit: () => void
  /** Zooms about the middle. */
  readonly zoomBy: (factor: number) => void
  /** Moves a row's card into view, and near enough to be read. */
  readonly reveal: (place: number) => void
}

const MOST_ZOOM = 4
/** A tree that is not seen whole at this zoom begins at its root. */
const LEAST_START = 0.07
/** Pixels that a pointer may move within a click. */
const SLACK = 5
/** Milliseconds that a move to another place takes. */
const GLIDE_MS = 180

export function stage({ scene: first, range, onSelect, onOpen }: StageOptions): Stage {
  const canvas = h('canvas', {
    class: 'tree',
    tabindex: 0,
    role: 'application',
    'aria-label': 'the tree of the search, from left to right; arrow keys go from node to node',
    'aria-describedby': 'tree-keys',
  })
  const context = canvas.getContext('2d', { alpha: false })!
  const map = overview()
  let scene = first
  let size: Size = { width: 0, height: 0 }
  let view: View = { zoom: 1, left: 0, top: 0 }
  let colors: Colors | null = null
  let waiting = false

  const paint = (): void => {
    waiting = false
    if (size.width === 0) return
    colors ??= colorsNow(range)
    const scale = canvas.width / size.width
    context.setTransform(scale, 0, 0, scale, 0, 0)
    draw(context, scene, view, size, colors)
    map.draw(context, scene, view, size, colors)
  }
  const repaint = (): void => {
    if (!waiting) requestAnimationFrame(paint)
    waiting = true
  }
  /** At once: what is printed must be there before the next frame. */
  const recolor = (): void => {
    colors = null
    paint()
  }
  const fitted = (): View => {
    const { width, height } = scene.layout
    const zoom = Math.min(1.2, (size.width - 32) / width, (size.height - 32) / height)
    return { zoom, left: (size.width - width * zoom) / 2, top: (size.height - height * zoom) / 2 }
  }
  const least = (): number => Math.min(0.2, fitted().zoom)
  const look = (next: View): void => {
    view = next
    repaint()
  }
  const zoomAt = (x: number, y: number, factor: number): void => {
    const zoom = Math.min(MOST_ZOOM, Math.max(least(), view.zoom * factor))
    const change = zoom / view.zoom
    look({ zoom, left: x - (x - view.left) * change, top: y - (y - view.top) * change })
  }
  const panBy = (x: number, y: number): void => look({ ...view, left: view.left + x, top: view.top + y })

  let gliding = 0
  const glideTo = (to: View): void => {
    cancelAnimationFrame(gliding)
    const duration = matchMedia('(prefers-reduced-motion: reduce)').matches ? 0 : GLIDE_MS
    const [from, began] = [view, performance.now()]
    const go = (now: number): void => {
      const part = duration === 0 ? 1 : Math.min(1, Math.max(0, now - began) / duration)
      const eased = part * (2 - part)
      const between = (a: number, b: number): number => a + (b - a) * eased
      look({ zoom: between(from.zoom, to.zoom), left: between(from.left, to.left), top: between(from.top, to.top) })
      if (part < 1) gliding = requestAnimationFrame(go)
    }
    gliding = requestAnimationFrame(go)
  }
  const fit = (): void => glideTo(fitted())
  const reveal = (place: number): void => {
    const [x, y] = [scene.layout.x[place]!, scene.layout.y[place]!]
    const zoom = Math.max(view.zoom, READABLE)
    const [left, top] = [x * zoom + view.left, y * zoom + view.top]
    const margin = 12
    const seen =
      zoom === view.zoom &&
      left >= margin &&
      top >= margin &&
      left + CARD.width * zoom <= size.width - margin &&
      top + CARD.height * zoom <= size.height - margin
    if (seen) return
    const to = {
      zoom,
      left: size.width / 2 - (x + CARD.width / 2) * zoom,
      top: size.height / 2 - (y + CARD.height / 2) * zoom,
    }
    glideTo(to)
  }

  hands(canvas, {
    goOnMap: (clientX, clientY) => {
      const point = map.pointAt(scene.layout, view, size, clientX, clientY)
      if (point === null) return false
      cancelAnimationFrame(gliding)
      const { zoom } = view
      look({ zoom, left: size.width / 2 - point[0] * zoom, top: size.height / 2 - point[1] * zoom })
      return true
    },
    panBy: (x, y) => {
      cancelAnimationFrame(gliding)
      panBy(x, y)
    },
    zoomAt: (x, y, factor) => {
      cancelAnimationFrame(gliding)
      zoomAt(x, y, factor)
    },
    click: (clientX, clientY) => {
      const [x, y] = [(clientX - view.left) / view.zoom, (clientY - view.top) / view.zoom]
      const place = rowAt(scene, x, y)
      const folded = place >= 0 && scene.shown.folded[place]! > 0
      if (folded && x > scene.layout.x[place]! + CARD.width - MARK) onOpen(place)
      else onSelect(place)
    },
  })
  const zoomBy = (factor: number): void => zoomAt(size.width / 2, size.height / 2, factor)
  canvas.addEventListener('keydown', event => {
    if (event.ctrlKey || event.metaKey || event.altKey) return
    const done = press(event, scene, { onSelect, onOpen, fit, zoomBy, panBy })
    if (done) event.preventDefault()
  })

  new ResizeObserver(() => {
    const before = size
    const { clientWidth: width, clientHeight: height } = canvas
    if (width === 0) return
    size = { width, height }
    canvas.width = Math.round(width * devicePixelRatio)
    canvas.height = Math.round(height * devicePixelRatio)
    if (before.width === 0) {
      const whole = fitted()
      const zoom = Math.max(whole.zoom, LEAST_START)
      view = { zoom, left: Math.max(whole.left, 16), top: whole.top }
      if (zoom > whole.zoom) {
        view = { zoom, left: 16, top: height / 2 - (scene.layout.y[0]! + CARD.height / 2) * zoom }
      }
    } else {
      view = { ...view, left: view.left + (width - before.width) / 2, top: view.top + (height - before.height) / 2 }
    }
    paint()
  }).observe(canvas)
  for (const query of ['(prefers-color-scheme: dark)', 'print']) matchMedia(query).addEventListener('change', recolor)
  new MutationObserver(recolor).observe(document.documentElement, { attributeFilter: ['data-theme'] })

  const show = (next: Scene): void => {
    // The selected node stays where it is while the tree around it changes.
    const kept = Math.max(0, next.selected)
    const [x, y] = [scene.layout.x[kept]!, scene.layout.y[kept]!]
    if (scene.layout !== next.layout && !Number.isNaN(x)) {
      const { zoom, left, top } = view
      view = { zoom, left: left + (x - next.layout.x[kept]!) * zoom, top: top + (y - next.layout.y[kept]!) * zoom }
    }
    scene = next
    repaint()
  }
  return { element: canvas, show, fit, zoomBy, reveal }
}

interface Hands {
  /** Goes where a point of the overview is; false where there is none. */
  readonly goOnMap: (x: number, y: number) => boolean
  readonly panBy: (x: number, y: number) => void
  readonly zoomAt: (x: number, y: number, factor: number) => void
  readonly click: (x: number, y: number) => void
}

type Point = readonly [x: number, y: number]

/** One pointer drags, two pinch, a wheel zooms. */
function hands(canvas: HTMLCanvasElement, { goOnMap, panBy, zoomAt, click }: Hands): void {
  const pointers = new Map<number, Point>()
  let moved = 0
  let onMap = false
  const at = (event: MouseEvent): Point => [event.offsetX, event.offsetY]
  canvas.addEventListener('pointerdown', event => {
    if (event.button !== 0) return
    if (pointers.size === 0) {
      moved = 0
      onMap = goOnMap(...at(event))
    }
    pointers.set(event.pointerId, at(event))
    canvas.setPointerCapture(event.pointerId)
  })
  canvas.addEventListener('pointermove', event => {
    const before = pointers.get(event.pointerId)
    if (before === undefined) return
    const now = at(event)
    if (onMap) return void goOnMap(...now)
    const [x, y] = [now[0] - before[0], now[1] - before[1]]
    const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1]
    if (other === undefined && moved + Math.hypot(x, y) < SLACK) return
    moved += Math.hypot(x, y)
    pointers.set(event.pointerId, now)
    if (other === undefined) return panBy(x, y)
    const apart = (point: Point): number => Math.max(1, Math.hypot(point[0] - other[0], point[1] - other[1]))
    zoomAt((before[0] + other[0]) / 2, (before[1] + other[1]) / 2, apart(now) / apart(before))
    panBy(x / 2, y / 2)
  })
  canvas.addEventListener('pointerup', event => {
    if (pointers.delete(event.pointerId) && pointers.size === 0 && moved < SLACK && !onMap) click(...at(event))
  })
  canvas.addEventListener('pointercancel', event => pointers.delete(event.pointerId))
  canvas.addEventListener(
    'wheel',
    event => {
      event.preventDefault()
      const unit = event.deltaMode === WheelEvent.DOM_DELTA_PIXEL ? 1 : 33
      // A pinch on a trackpad comes as a wheel with ctrl, in small steps.
      const speed = event.ctrlKey ? 0.01 : 0.0016
      zoomAt(event.offsetX, event.offsetY, Math.exp(-Math.max(-400, Math.min(400, event.deltaY * unit)) * speed))
    },
    { passive: false },
  )
}

interface Keys extends Pick<StageOptions, 'onSelect' | 'onOpen'>, Pick<Stage, 'fit' | 'zoomBy'> {
  readonly panBy: (x: number, y: number) => void
}

/** Answers a key; whether it meant something here. */
function press({ key, shiftKey }: KeyboardEvent, scene: Scene, keys: Keys): boolean {
  const { rows, selected, shown, chosen } = scene
  const arrow = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] }[key]
  if (arrow && shiftKey) {
    keys.panBy(arrow[0]!, arrow[1]!)
    return true
  }
  const select = (place: number | undefined): void => {
    if (place !== undefined && place >= 0) keys.onSelect(place)
  }
  const row = rows[selected]
  const children = row?.children.filter(child => shown.has[child]) ?? []
  if (arrow && row === undefined) select(0)
  else if (key === 'ArrowLeft') select(row!.parent)
  else if (key === 'ArrowRight') select(children.find(child => chosen.has(child)) ?? children[0])
  else if (key === 'ArrowUp' || key === 'ArrowDown') select(beside(scene, key === 'ArrowUp' ? -1 : 1))
  else if (key === 'Home') select(0)
  else if (key === 'End') select([...chosen].at(-1))
  else if (key === '+' || key === '=') keys.zoomBy(1.25)
  else if (key === '-') keys.zoomBy(0.8)
  else if (key === '0') keys.fit()
  else if (key === 'Escape') keys.onSelect(-1)
  else if ((key === 'Enter' || key === ' ') && row && shown.folded[selected]! > 0) keys.onOpen(selected)
  else return false
  return true
}

/** The drawn row above or below the selected one: its sibling, or else the nearest as deep. */
function beside({ rows, shown, selected, layout }: Scene, direction: 1 | -1): number | undefined {
  const { parent, depth } = rows[selected]!
  const siblings = rows[parent]?.children.filter(child => shown.has[child]) ?? [selected]
  const next = siblings[siblings.indexOf(selected) + direction]
  if (next !== undefined) return next
  let nearest: number | undefined
  const y = layout.y[selected]!
  for (let place = 0; place < rows.length; place++) {
    const away = (layout.y[place]! - y) * direction
    if (!shown.has[place] || rows[place]!.depth !== depth || !(away > 0)) continue
    if (nearest === undefined || away < (layout.y[nearest]! - y) * direction) nearest = place
  }
  return nearest
}
