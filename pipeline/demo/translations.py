"""What a scene's caption says in other languages: correct, and free of agreement (colour stands as a noun or a case form)."""

from dataclasses import dataclass
from random import Random

from pipeline.demo.scenes import Scene


@dataclass(frozen=True, kw_only=True)
class Language:
    """Words of one language; `templates` take {thing}, {colour} and {place}. Things, colours, places in the tables' order."""

    code: str
    templates: tuple[str, ...]
    things: str
    colours: str
    places: str


_THINGS = (
    "house",
    "tree",
    "car",
    "boat",
    "fish",
    "star",
    "heart",
    "cup",
    "flower",
    "key",
    "umbrella",
    "balloon",
    "moon",
    "mushroom",
    "cat",
    "clock",
)
_COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "white", "black")
_PLACES = ("plain", "gradient", "stripes", "checker", "grass", "sky", "sea", "night", "noise", "bricks", "sand", "wood")

LANGUAGES = (
    Language(
        code="de",
        # The things stand in the accusative.
        templates=("Das Foto zeigt {thing} in {colour} {place}", "Hier sehen Sie {thing} in {colour} {place}"),
        things="ein Haus|einen Baum|ein Auto|ein Boot|einen Fisch|einen Stern|ein Herz|eine Tasse|eine Blume|einen Schlüssel|"
        "einen Regenschirm|einen Luftballon|einen Mond|einen Pilz|eine Katze|eine Uhr",
        colours="Rot|Orange|Gelb|Grün|Blau|Lila|Rosa|Braun|Weiß|Schwarz",
        places="vor einfarbigem Hintergrund|vor einem Farbverlauf|vor einem gestreiften Hintergrund|"
        "vor einem karierten Hintergrund|auf der grünen Wiese|vor dem blauen Himmel|am Meer|"
        "in der Nacht unter den Sternen|vor einem unscharfen Hintergrund|"
        "vor einer Ziegelmauer|auf dem Sand|auf einem Tisch aus Holz",
    ),
    Language(
        code="fr",
        templates=("{thing} de couleur {colour} {place}", "Une image avec {thing} de couleur {colour} {place}"),
        things="une maison|un arbre|une voiture|un bateau|un poisson|une étoile|un cœur|une tasse|une fleur|une clé|"
        "un parapluie|un ballon de baudruche|une lune|un champignon|un chat|une horloge",
        colours="rouge|orange|jaune|verte|bleue|violette|rose|brune|blanche|noire",
        places="sur un fond uni|sur un fond dégradé|sur un fond rayé|sur un fond à carreaux|dans l'herbe verte|"
        "dans le ciel bleu|au bord de la mer|la nuit sous les étoiles|sur un fond flou|devant un mur de briques|"
        "sur le sable|sur une table en bois",
    ),
    Language(
        code="es",
        templates=("{thing} de color {colour} {place}", "Una imagen con {thing} de color {colour} {place}"),
        things="una casa|un árbol|un coche|un barco|un pez|una estrella|un corazón|una taza|una flor|una llave|"
        "un paraguas|un globo|una luna|una seta|un gato|un reloj",
        colours="rojo|naranja|amarillo|verde|azul|morado|rosa|marrón|blanco|negro",
        places="sobre un fondo liso|sobre un fondo degradado|sobre un fondo de rayas|sobre un fondo de cuadros|"
        "sobre la hierba verde|en el cielo azul|junto al mar|de noche bajo las estrellas|sobre un fondo borroso|"
        "delante de una pared de ladrillo|sobre la arena|sobre una mesa de madera",
    ),
    Language(
        code="it",
        templates=("{thing} di colore {colour} {place}", "Un'immagine con {thing} di colore {colour} {place}"),
        things="una casa|un albero|una macchina|una barca|un pesce|una stella|un cuore|una tazza|un fiore|una chiave|"
        "un ombrello|un palloncino|una luna|un fungo|un gatto|un orologio",
        colours="rosso|arancione|giallo|verde|blu|viola|rosa|marrone|bianco|nero",
        places="su uno sfondo semplice|su uno sfondo sfumato|su uno sfondo a righe|su uno sfondo a quadri|sull'erba verde|"
        "nel cielo azzurro|in riva al mare|di notte sotto le stelle|su uno sfondo sfocato|davanti a un muro di mattoni|"
        "sulla sabbia|su un tavolo di legno",
    ),
    Language(
        code="pt",
        templates=("{thing} de cor {colour} {place}", "Uma imagem com {thing} de cor {colour} {place}"),
        things="uma casa|uma árvore|um carro|um barco|um peixe|uma estrela|um coração|uma xícara|uma flor|uma chave|"
        "um guarda-chuva|um balão|uma lua|um cogumelo|um gato|um relógio",
        colours="vermelha|laranja|amarela|verde|azul|roxa|rosa|marrom|branca|preta",
        places="sobre um fundo liso|sobre um fundo em degradê|sobre um fundo listrado|sobre um fundo xadrez|na grama verde|"
        "no céu azul|à beira do mar|à noite sob as estrelas|sobre um fundo desfocado|em frente a uma parede de tijolos|"
        "na areia|sobre uma mesa de madeira",
    ),
    Language(
        code="nl",
        templates=("{thing} in het {colour} {place}", "Een afbeelding van {thing} in het {colour} {place}"),
        things="een huis|een boom|een auto|een boot|een vis|een ster|een hart|een kopje|een bloem|een sleutel|"
        "een paraplu|een ballon|een maan|een paddenstoel|een kat|een klok",
        colours="rood|oranje|geel|groen|blauw|paars|roze|bruin|wit|zwart",
        places="op een effen achtergrond|op een achtergrond met kleurverloop|op een gestreepte achtergrond|"
        "op een geblokte achtergrond|op het groene gras|in de blauwe lucht|aan zee|'s nachts onder de sterren|"
        "op een wazige achtergrond|voor een bakstenen muur|op het zand|op een houten tafel",
    ),
    Language(
        code="ru",
        templates=("{thing} {colour} цвета {place}", "На картинке {thing} {colour} цвета {place}"),
        things="дом|дерево|машина|лодка|рыба|звезда|сердце|чашка|цветок|ключ|зонт|воздушный шарик|луна|гриб|кошка|часы",
        colours="красного|оранжевого|жёлтого|зелёного|синего|фиолетового|розового|коричневого|белого|чёрного",
        places="на однотонном фоне|на градиентном фоне|на полосатом фоне|на клетчатом фоне|на зелёной траве|"
        "на фоне голубого неба|у моря|ночью под звёздами|на размытом фоне|у кирпичной стены|на песке|на деревянном столе",
    ),
    Language(
        code="ja",
        templates=("{place}{colour}の{thing}", "{place}{colour}の{thing}の写真"),
        things="家|木|車|船|魚|星|ハート|カップ|花|鍵|傘|風船|月|きのこ|猫|時計",
        colours="赤色|オレンジ色|黄色|緑色|青色|紫色|ピンク色|茶色|白色|黒色",
        places="無地の背景にある|グラデーションの背景にある|しま模様の背景にある|市松模様の背景にある|緑の芝生の上にある|"
        "青い空の中にある|海辺にある|星空の下にある|ぼやけた背景にある|れんがの壁の前にある|砂の上にある|木のテーブルの上にある",
    ),
)


def caption_in(language: Language, scene: Scene, rng: Random) -> str:
    """The scene's main thing, its colour and its place, in that language."""
    thing = language.things.split("|")[_THINGS.index(scene.main.shape)]
    colour = language.colours.split("|")[_COLOURS.index(scene.main.colour)]
    place = language.places.split("|")[_PLACES.index(scene.background)]
    text = rng.choice(language.templates).format(thing=thing, colour=colour, place=place)
    return text[0].upper() + text[1:]
