"""What the paper prints in its Tables 2 to 4, on its own data.

Zhao, Wang & Lv, High-Resolution Galaxy Image Generation Based on Diffusion Models. Sizes of the training sets are
(original, augmented). Figures are precision, recall and F1 on the original training set, then the same on the augmented
one. Classes are in the order of ``TRAINING``. The macro figures are the means over the classes, except for the
precision of EfficientNetV2M on the original set: its classes give 0.850, the paper prints 0.855.
"""

TRAINING = {
    "completely_round_smooth": (8334, 8334),
    "in_between_smooth": (7969, 7969),
    "cigar_shaped_smooth": (479, 5642),
    "edge_on": (3803, 3803),
    "spiral": (7706, 7706),
}
TEST_PER_CLASS = 100
PER_CLASS = {
    "EfficientNetV2S": (
        "0.887 0.95 0.917 0.873 0.97 0.919",
        "0.841 0.9 0.869 0.926 0.88 0.902",
        "0.864 0.51 0.641 0.875 0.7 0.777",
        "0.707 0.92 0.8 0.764 0.94 0.843",
        "0.938 0.91 0.923 0.967 0.88 0.921",
    ),
    "EfficientNetV2M": (
        "0.893 0.92 0.906 0.921 0.94 0.930",
        "0.892 0.91 0.9 0.894 0.93 0.911",
        "0.904 0.38 0.535 0.959 0.47 0.63",
        "0.621 0.97 0.757 0.685 0.96 0.8",
        "0.938 0.91 0.923 0.895 0.94 0.917",
    ),
    "EfficientNetV2L": (
        "0.932 0.96 0.945 0.957 0.91 0.933",
        "0.882 0.98 0.928 0.887 0.95 0.917",
        "0.957 0.45 0.612 0.948 0.55 0.696",
        "0.653 0.98 0.784 0.697 0.97 0.811",
        "0.977 0.87 0.92 0.95 0.96 0.955",
    ),
}
MACRO = {
    "SwinTransformerTiny": "0.862 0.844 0.833 0.867 0.848 0.841",
    "SwinTransformerBase": "0.876 0.854 0.846 0.898 0.886 0.885",
    "SwinTransformerLarge": "0.881 0.874 0.872 0.886 0.876 0.873",
    "EfficientNetV2S": "0.847 0.838 0.830 0.881 0.874 0.872",
    "EfficientNetV2M": "0.855 0.818 0.804 0.871 0.848 0.838",
    "EfficientNetV2L": "0.88 0.848 0.838 0.888 0.868 0.862",
}
