import { NONE, score } from '../page/format.ts'
import type { Colors } from './colors.ts'
import { CARD, type Layout } from './layout.ts'
import { type Row, type Shown, stepScores } from './rows.ts'

/** What is drawn. */
export interface Scene {
  readonly rows: readonly Row[]
  readonly shown: Shown
  readonly layout: Layout
  /** Rows of the chosen path. */
  readonly chosen: ReadonlySet<number>
  /** −1: none. */
  readonly selected: number
  readonly problem: string
}

/** From units of the layout to CSS pixels: `x · zoom + left`. */
export interface View {
  readonly zoom: number
  readonly left: number
  readonly top: number
}

export interface Size {
  readonly width: number
  readonly height: number
}

/** From this zoom on cards have text; below it they are blocks of colour. */
export const READABLE = 0.4
/** From this zoom on the text of a card is set in the usual size; below it larger, and the figures come first. */
const NEAR = 0.75

/** Where the part of a card begins that opens what is folded into it. */
export const MARK = 46

const HALF = CARD.height / 2

/** Draws what the view shows of a scene on a context that is scaled to CSS pixels. */
export function draw(
  context: CanvasRenderingContext2D,
  scene: Scene,
  { zoom, left, top }: View,
  size: Size,
  colors: Colors,
): void {
  context.save()
  context.fillStyle = colors.paper
  context.fillRect(0, 0, size.width, size.height)
  context.translate(left, top)
  context.scale(zoom, zoom)
  const port = {
    left: -left / zoom,
    top: -top / zoom,
    right: (size.width - left) / zoom,
    bottom: (size.height - top) / zoom,
  }
  const { layout, rows, shown } = scene
  drawBlocks(context, scene, zoom, colors)
  drawEdges(context, scene, port, zoom, colors)
  const readable = zoom >= READABLE
  for (let place = 0; place < rows.length; place++) {
    if (!shown.has[place]) continue
    const [x, y] = [layout.x[place]!, layout.y[place]!]
    if (x > port.right || x + CARD.width < port.left || y > port.bottom || y + CARD.height < port.top) continue
    drawCard(context, scene, place, readable, zoom, colors)
  }
  context.restore()
}

type Port = { readonly left: number; readonly top: number; readonly right: number; readonly bottom: number }

function drawBlocks(context: CanvasRenderingContext2D, { layout }: Scene, zoom: number, colors: Colors): void {
  context.strokeStyle = colors.rule
  context.lineWidth = Math.max(1, 0.8 / zoom)
  for (const { x, y, width, height } of layout.blocks) context.strokeRect(x, y, width, height)
}

/** Thicker, the more of the visits went that way; the chosen path last and thickest. */
function drawEdges(context: CanvasRenderingContext2D, scene: Scene, port: Port, zoom: number, colors: Colors): void {
  const { rows, shown, layout, chosen } = scene
  const most = rows.reduce((most, { node }) => Math.max(most, node.visits), 0)
  const curves = new Map<string, Path2D>()
  const straight = zoom < 0.12
  const edge = (from: number, x: number, y: number, style: string): void => {
    const [x0, y0] = [layout.x[from]! + CARD.width, layout.y[from]! + HALF]
    if (x0 > port.right || x < port.left || Math.max(y0, y) < port.top || Math.min(y0, y) > port.bottom) return
    const path = curves.get(style) ?? new Path2D()
    curves.set(style, path)
    path.moveTo(x0, y0)
    if (straight) path.lineTo(x, y)
    else path.bezierCurveTo((x0 + x) / 2, y0, (x0 + x) / 2, y, x, y)
  }
  for (const { parent, x, y, height } of layout.blocks) {
    edge(parent, x, y + height / 2, 'plain 1')
    const leads = rows[parent]!.children.some(child => chosen.has(child) && layout.inBlock[child])
    if (leads) edge(parent, x, y + height / 2, 'chosen 4')
  }
  for (let place = 1; place < rows.length; place++) {
    if (!shown.has[place] || layout.inBlock[place]) continue
    const { parent, node } = rows[place]!
    const width = most > 0 ? 1 + Math.round((4 * node.visits) / most) : 1
    const style = chosen.has(place) ? 'chosen 4' : node.pruned ? 'pruned 1' : `plain ${width}`
    edge(parent, layout.x[place]!, layout.y[place]! + HALF, style)
  }
  for (const [style, path] of [...curves].sort(([a], [b]) => Number(a.startsWith('c')) - Number(b.startsWith('c')))) {
    const [kind, width] = style.split(' ')
    context.strokeStyle = kind === 'chosen' ? colors.accent : colors.quiet
    context.globalAlpha = kind === 'pruned' ? 0.3 : kind === 'plain' ? 0.6 : 1
    context.lineWidth = Math.max(Number(width), (0.4 * Number(width)) / zoom)
    context.stroke(path)
  }
  context.globalAlpha = 1
}

function drawCard(
  context: CanvasRenderingContext2D,
  scene: Scene,
  place: number,
  readable: boolean,
  zoom: number,
  colors: Colors,
): void {
  const { rows, layout, chosen, selected, shown } = scene
  const { node } = rows[place]!
  const [x, y] = [layout.x[place]!, layout.y[place]!]
  context.globalAlpha = node.pruned ? 0.45 : 1
  if (readable || node.steps.length === 0) {
    context.fillStyle = colors.raised
    context.fillRect(x, y, CARD.width, CARD.height)
  }
  drawScores(context, node.steps.length === 0 ? [] : stepScores(node), x, y, readable ? 8 : CARD.height, colors)
  if (readable) drawText(context, scene, place, zoom, colors)
  if (node.finished) {
    context.fillStyle = colors.ink
    context.fillRect(x + CARD.width - 5, y, 5, CARD.height)
  }
  const own = chosen.has(place)
  if (readable || own) {
    context.strokeStyle = own ? colors.accent : colors.rule
    context.lineWidth = own ? Math.max(2.5, 1.6 / zoom) : 1
    if (node.pruned) context.setLineDash([4, 3])
    context.strokeRect(x, y, CARD.width, CARD.height)
    context.setLineDash([])
  }
  context.globalAlpha = 1
  const folded = shown.folded[place]!
  if (folded > 0) drawFolded(context, folded, x, y, readable, colors)
  if (place === selected) {
    const gap = Math.max(3, 2 / zoom)
    context.strokeStyle = colors.ink
    context.lineWidth = Math.max(2, 2 / zoom)
    context.strokeRect(x - gap, y - gap, CARD.width + 2 * gap, CARD.height + 2 * gap)
  }
}

/** A field for each step, as wide as the others. */
function drawScores(
  context: CanvasRenderingContext2D,
  scores: readonly (number | null)[],
  x: number,
  y: number,
  height: number,
  colors: Colors,
): void {
  const width = CARD.width / Math.max(1, scores.length)
  const gap = Math.min(1.5, width / 5)
  for (const [index, score] of scores.entries()) {
    context.fillStyle = colors.of(score)
    context.fillRect(x + index * width, y, index === scores.length - 1 ? width : width - gap, height)
  }
}

function drawText(context: CanvasRenderingContext2D, scene: Scene, place: number, zoom: number, colors: Colors): void {
  const { rows, layout, problem } = scene
  const row = rows[place]!
  const { node } = row
  const [x, y] = [layout.x[place]! + 7, layout.y[place]!]
  const width = CARD.width - 14 - (node.finished ? 5 : 0) - (scene.shown.folded[place]! > 0 ? MARK : 0)
  const { text, figures, textAt, figuresAt } = zoom >= NEAR ? NEAR_BY : FAR_OFF
  context.textAlign = 'left'
  context.font = `${text}px ${SANS}`
  context.fillStyle = colors.ink
  context.fillText(fitted(context, row, row.parent < 0 ? problem : (node.steps.at(-1) ?? ''), width), x, y + textAt)
  context.font = `${figures}px ${SANS}`
  context.fillStyle = colors.quiet
  context.fillText(figuresOf(row), x, y + figuresAt)
  if (!node.finished) return
  context.font = `600 ${figures}px ${MONO}`
  context.fillStyle = colors.ink
  context.textAlign = 'right'
  context.fillText(`→ ${shortened(context, oneLine(node.answer ?? NONE), width / 2)}`, x + width, y + figuresAt)
}

const SANS = 'system-ui, -apple-system, "Segoe UI", Roboto, Arial, sans-serif'
const MONO = 'ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace'

/** Sizes and base lines of the two lines of a card. */
const NEAR_BY = { text: 12, textAt: 23, figures: 11, figuresAt: 38 } as const
const FAR_OFF = { text: 14, textAt: 42, figures: 17, figuresAt: 26 } as const

/** Value, and visits where there are any: `0.93  ×12`. */
function figuresOf({ node, parent }: Row): string {
  const visits = node.visits > 0 ? `×${node.visits}` : ''
  const value = node.value === null ? (parent < 0 ? '' : NONE) : score(node.value)
  return [value, visits].filter(text => text !== '').join('  ')
}

function drawFolded(
  context: CanvasRenderingContext2D,
  count: number,
  x: number,
  y: number,
  readable: boolean,
  colors: Colors,
): void {
  const left = x + CARD.width - MARK
  context.fillStyle = colors.ink
  context.fillRect(left, readable ? y + 9 : y, MARK, readable ? CARD.height - 9 : CARD.height)
  if (!readable) return
  context.font = `11px ${SANS}`
  context.textAlign = 'center'
  context.fillStyle = colors.paper
  context.fillText(count < 10_000 ? `+${count}` : `+${Math.floor(count / 1000)}k`, left + MARK / 2, y + 32)
}

/** Measured once for each card and size: what fits does not depend on the zoom. */
const texts = new WeakMap<Row, { readonly width: number; readonly font: string; readonly text: string }>()

function fitted(context: CanvasRenderingContext2D, row: Row, text: string, width: number): string {
  const known = texts.get(row)
  if (known?.width === width && known.font === context.font) return known.text
  const fits = shortened(context, oneLine(text), width)
  texts.set(row, { width, font: context.font, text: fits })
  return fits
}

/** As much of a text as has room, with an ellipsis where that is not all. */
function shortened(context: CanvasRenderingContext2D, text: string, width: number): string {
  const characters = [...text.slice(0, 200)]
  const fits = (count: number): boolean => context.measureText(`${characters.slice(0, count).join('')}…`).width <= width
  if (text.length <= 200 && context.measureText(text).width <= width) return text
  let [least, most] = [0, characters.length]
  while (least < most) {
    const middle = Math.ceil((least + most) / 2)
    if (fits(middle)) least = middle
    else most = middle - 1
  }
  return `${characters.slice(0, least).join('')}…`
}

/** No marks that change the direction of what stands beside, and no line breaks. */
function oneLine(text: string): string {
  return text
    .slice(0, 400)
    .replaceAll(/[\p{Cc}\p{Zl}\p{Zp}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]+/gu, ' ')
    .trim()
}

/** The drawn row at a point of the layout; −1: none. */
export function rowAt({ rows, shown, layout }: Scene, x: number, y: number): number {
  for (let place = rows.length - 1; place >= 0; place--) {
    if (!shown.has[place]) continue
    const [left, top] = [layout.x[place]!, layout.y[place]!]
    if (x >= left && x <= left + CARD.width && y >= top && y <= top + CARD.height) return place
  }
  return -1
}
